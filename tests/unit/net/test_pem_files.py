"""The relay's certificate: self-signed at first, read again when it changes, kept when the new one cannot be used."""

import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from outrider.base.errors import ConfigError
from outrider.net import pem_files
from outrider.net.pem_files import Certificate
from outrider.net.selfsigned import SelfSigned
from outrider.testing.engineroom import Journal

SETTING = "submission.certificate"


def shaken(server: ssl.SSLContext, trusted_pem: str, host: str | None = "relay.example") -> bool:
    """Shake hands in memory with a client that trusts this certificate alone."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=trusted_pem)
    client.check_hostname = host is not None
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    ours = client.wrap_bio(pipes[0], pipes[1], server_hostname=host)
    theirs = server.wrap_bio(pipes[1], pipes[0], server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


def written(path: Path, made: SelfSigned) -> None:
    path.write_text(made.key_and_pem)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def test_a_self_signed_one_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = pem_files.self_signed(tmp_path, "relay.example")
    text = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert pem_files.self_signed(tmp_path, "relay.example").read_text() == text
    made = Certificate(path, None, setting=SETTING, log=Journal().logger)
    assert shaken(made.context, text[text.index("-----BEGIN CERTIFICATE") :])


def test_a_renewed_one_holds_for_the_next_handshake(tmp_path: Path) -> None:
    old, new, path, journal = SelfSigned("relay.example"), SelfSigned("relay.example"), tmp_path / "c.pem", Journal()
    written(path, old)
    made = Certificate(path, None, setting=SETTING, log=journal.logger)
    assert shaken(made.context, old.pem)
    written(path, new)
    made.refresh()
    made.refresh()
    assert shaken(made.context, new.pem)
    assert not shaken(made.context, old.pem)
    assert journal.count("certificate_loaded") == 1


def test_one_with_a_key_of_another_kind_takes_its_place(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    old, new, path = SelfSigned("relay.example"), SelfSigned("relay.example", key=key), tmp_path / "c.pem"
    written(path, old)
    made = Certificate(path, None, setting=SETTING, log=Journal().logger)
    written(path, new)
    made.refresh()
    assert shaken(made.context, new.pem)
    assert not shaken(made.context, old.pem)
    assert shaken(made.context, new.pem, host=None)


def test_key_and_chain_may_be_two_files(tmp_path: Path) -> None:
    one = SelfSigned("relay.example")
    key, _, _ = one.key_and_pem.partition("-----BEGIN CERTIFICATE")
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "chain.pem").write_text(one.pem)
    made = Certificate(tmp_path / "chain.pem", tmp_path / "key.pem", setting=SETTING, log=Journal().logger)
    assert shaken(made.context, one.pem)


@pytest.mark.parametrize("text", ["nonsense", ""])
def test_one_that_cannot_be_used_leaves_the_old_one(tmp_path: Path, text: str) -> None:
    old, path, journal = SelfSigned("relay.example"), tmp_path / "c.pem", Journal()
    written(path, old)
    made = Certificate(path, None, setting=SETTING, log=journal.logger)
    path.write_text(text)
    made.refresh()
    path.unlink()
    made.refresh()
    assert shaken(made.context, old.pem)
    assert journal.count("certificate_not_loaded") == 2
    written(path, old)
    made.refresh()
    assert journal.count("certificate_loaded") == 1


def test_the_start_stops_without_a_certificate_that_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"submission\.certificate"):
        Certificate(tmp_path / "none.pem", None, setting=SETTING, log=Journal().logger)

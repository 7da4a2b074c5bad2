"""Certificates of many hosts: chosen by the name asked for, read again when they change, kept when they break."""

import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from outrider.base.errors import ConfigError
from outrider.net import host_certificates
from outrider.net.host_certificates import HostCertificates
from outrider.net.selfsigned import SelfSigned
from outrider.testing.engineroom import Journal


def served(server: ssl.SSLContext, name: str | None) -> bytes:
    """Shake hands in memory, asking for `name`; return the certificate that came."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2", "http/1.1"])
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    ours = client.wrap_bio(pipes[0], pipes[1], server_hostname=name)
    theirs = server.wrap_bio(pipes[1], pipes[0], server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ours.selected_alpn_protocol() == "http/1.1"
    return ours.getpeercert(binary_form=True) or b""


def put(folder: Path, name: str, made: SelfSigned) -> bytes:
    """Write a pair as lego does; return what a client will see."""
    key, mark, _ = made.key_and_pem.partition("-----BEGIN CERTIFICATE")
    assert mark
    (folder / f"{name}.key").write_text(key)
    path = folder / f"{name}.crt"
    path.write_text(made.pem)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    return ssl.PEM_cert_to_DER_cert(made.pem)


def test_each_host_gets_its_own_and_a_star_covers_one_label(tmp_path: Path) -> None:
    one = put(tmp_path, "one", SelfSigned("t.one.example"))
    star = put(tmp_path, "_.two.example", SelfSigned("*.two.example"))
    held = HostCertificates(tmp_path, log=Journal().logger)
    assert served(held.context, "t.one.example") == served(held.context, "T.One.example") == one
    assert served(held.context, "t.two.example") == star
    strangers = [served(held.context, name) for name in ("a.t.two.example", "two.example", "t.three.example", None)]
    assert len(set(strangers)) == 1
    assert strangers[0] not in (one, star)
    default = put(tmp_path, "default", SelfSigned("any.example"))
    held.refresh()
    assert served(held.context, "t.three.example") == served(held.context, None) == default


def test_certbots_folders_are_read_too_and_what_has_no_key_is_left_alone(tmp_path: Path) -> None:
    made, folder = SelfSigned("t.one.example"), tmp_path / "t.one.example"
    folder.mkdir()
    (folder / "fullchain.pem").write_text(made.pem)
    (folder / "privkey.pem").write_text(made.key_and_pem)
    (tmp_path / "t.one.example.issuer.crt").write_text(SelfSigned("Some authority").pem)
    (tmp_path / "README").write_text("read me")
    held = HostCertificates(tmp_path, log=Journal().logger)
    assert served(held.context, "t.one.example") == ssl.PEM_cert_to_DER_cert(made.pem)
    (tmp_path / "broken.crt").write_text("nonsense")
    (tmp_path / "broken.key").write_text("nonsense")
    seen = host_certificates.look_into(tmp_path)
    assert (list(seen.terms), list(seen.faults)) == (["t.one.example"], ["broken"])


def test_a_renewed_one_holds_at_once_and_one_that_is_gone_no_more(tmp_path: Path) -> None:
    journal = Journal()
    put(tmp_path, "one", SelfSigned("t.one.example"))
    held = HostCertificates(tmp_path, log=journal.logger)
    new = put(tmp_path, "one", SelfSigned("t.one.example", until_year=2121))
    held.refresh()
    held.refresh()
    assert served(held.context, "t.one.example") == new
    assert journal.count("certificate_loaded") == 2
    (tmp_path / "one.crt").unlink()
    held.refresh()
    assert served(held.context, "t.one.example") != new


def test_half_a_renewal_leaves_the_old_one(tmp_path: Path) -> None:
    journal = Journal()
    old = put(tmp_path, "one", SelfSigned("t.one.example"))
    other = put(tmp_path, "two", SelfSigned("t.two.example"))
    held = HostCertificates(tmp_path, log=journal.logger)
    for text in (SelfSigned("t.one.example").pem, "nonsense", ""):
        (tmp_path / "one.crt").write_text(text)
        held.refresh()
        held.refresh()
        assert (served(held.context, "t.one.example"), served(held.context, "t.two.example")) == (old, other)
    assert journal.count("certificate_not_loaded") == 3


def test_of_two_for_one_name_the_one_that_ends_later_counts(tmp_path: Path) -> None:
    later = put(tmp_path, "a", SelfSigned("t.one.example", until_year=2100))
    put(tmp_path, "b", SelfSigned("t.one.example", until_year=2050))
    assert served(HostCertificates(tmp_path, log=Journal().logger).context, "t.one.example") == later


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    journal = Journal()
    put(tmp_path, "one", SelfSigned("t.one.example"))
    locked = load_pem_private_key((tmp_path / "one.key").read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "one.key").write_bytes(locked)
    HostCertificates(tmp_path, log=journal.logger)
    assert journal.count("certificate_not_loaded") == 1


def test_a_folder_that_is_none_stops_the_start_and_one_that_goes_does_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.certificates"):
        HostCertificates(tmp_path / "none", log=Journal().logger)
    folder, journal = tmp_path / "some", Journal()
    folder.mkdir()
    one = put(folder, "one", SelfSigned("t.one.example"))
    held = HostCertificates(folder, log=journal.logger)
    folder.rename(tmp_path / "away")
    held.refresh()
    held.refresh()
    assert served(held.context, "t.one.example") == one
    assert journal.count("certificates_not_read") == 1


def test_without_a_folder_there_is_one_of_our_own() -> None:
    held = HostCertificates(None, log=Journal().logger)
    held.refresh()
    assert served(held.context, "t.one.example") == served(held.context, None)


def test_more_than_a_process_holds_are_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.base.limits.HOST_CERTIFICATES_COUNT_MAX", 1)
    journal = Journal()
    first = put(tmp_path, "a", SelfSigned("t.a.example"))
    second = put(tmp_path, "b", SelfSigned("t.b.example"))
    held = HostCertificates(tmp_path, log=journal.logger)
    assert served(held.context, "t.a.example") == first
    assert served(held.context, "t.b.example") != second
    assert journal.count("certificates_left_out") == 1

"""Secrets at rest: they open only with their key, in their place, unchanged."""

from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import StoreCorruptError
from outrider.store import master_key
from outrider.store.vault import Vault, mark_of, vault_of

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_is_sealed_opens(secret: bytes, context: str) -> None:
    assert Vault(KEY).open(Vault(KEY).seal(secret, context), context) == secret


def test_it_opens_nowhere_else() -> None:
    sealed = Vault(KEY).seal(b"secret", "dkim:a:s")
    for vault, blob, context in (
        (Vault(bytes(32)), sealed, "dkim:a:s"),
        (Vault(KEY), sealed, "dkim:b:s"),
        (Vault(KEY), sealed[:-1] + bytes([sealed[-1] ^ 1]), "dkim:a:s"),
        (Vault(KEY), b"\x01" + sealed[1:], "dkim:a:s"),
        (Vault(KEY), b"\x03" + sealed[1:], "dkim:a:s"),
        (Vault(KEY), sealed[:1], "dkim:a:s"),
        (Vault(KEY), b"", "dkim:a:s"),
        (Vault(KEY), sealed[:10], "dkim:a:s"),
    ):
        with pytest.raises(StoreCorruptError):
            vault.open(blob, context)


def test_two_seals_of_one_secret_differ() -> None:
    assert Vault(KEY).seal(b"x", "c") != Vault(KEY).seal(b"x", "c")


def test_what_an_older_key_sealed_opens_and_a_newer_one_seals() -> None:
    old, both = Vault(KEY), Vault(OTHER, [KEY])
    assert both.open(old.seal(b"secret", "c"), "c") == b"secret"
    sealed = both.seal(b"secret", "c")
    assert sealed.startswith(both.mark)
    assert both.mark == mark_of(OTHER)
    with pytest.raises(StoreCorruptError):
        old.open(sealed, "c")


def test_what_the_first_version_sealed_opens_with_any_key() -> None:
    nonce = bytes(12)
    sealed = b"\x01" + nonce + AESGCM(KEY).encrypt(nonce, b"secret", b"c")
    for vault in (Vault(KEY), Vault(OTHER, [KEY])):
        assert vault.open(sealed, "c") == b"secret"
    for vault, blob in ((Vault(OTHER), sealed), (Vault(KEY), sealed[:-1]), (Vault(KEY), b"\x01")):
        with pytest.raises(StoreCorruptError):
            vault.open(blob, "c")


def test_a_key_that_comes_while_we_run_is_found() -> None:
    keys = [KEY]
    vault = Vault(KEY, look_again=lambda: keys)
    assert not vault.refresh()
    keys.insert(0, OTHER)
    assert vault.open(Vault(OTHER).seal(b"secret", "c"), "c") == b"secret"
    keys.insert(0, bytes(32))
    assert vault.seal(b"x", "c").startswith(mark_of(bytes(32)))
    assert not vault.refresh()


def test_what_is_derived_is_always_the_same_and_of_each_key() -> None:
    assert Vault(KEY).derive("a") == Vault(KEY).derive("a")
    assert Vault(OTHER, [KEY]).derive("a") == [*Vault(OTHER).derive("a"), *Vault(KEY).derive("a")]
    assert Vault(KEY).derive("a") != Vault(KEY).derive("b")
    # What is on its way was made with this: it was so before there were several keys.
    assert Vault(KEY).derive("return path 1")[0].hex().startswith("0cf6fea795bbae04fd1c46bf9d7af3ed")


def test_a_vault_follows_its_key_file_and_outlives_it(tmp_path: Path) -> None:
    source = master_key.find("", tmp_path, {})
    vault, other = vault_of(source), vault_of(source)
    added = source.add(date(2026, 11, 20))
    sealed = other.seal(b"secret", "c")
    assert sealed.startswith(mark_of(added.octets))
    assert vault.open(sealed, "c") == b"secret"
    source.add(date(2026, 11, 21))
    source.read()  # Whoever reads in between takes nothing away from the others.
    assert (vault.refresh(), other.refresh()) == (True, True)
    for content in (None, b"half of it"):
        path = tmp_path / "master.key"
        path.unlink() if content is None else path.write_bytes(content)
        assert not vault.refresh()
        assert vault.open(vault.seal(b"secret", "c"), "c") == b"secret"

"""Secrets at rest: they open only with their key, in their place, unchanged."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import ConfigError, StoreCorruptError
from outrider.store.vault import Vault, load_or_create_key

KEY = bytes(range(32))


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_is_sealed_opens(secret: bytes, context: str) -> None:
    assert Vault(KEY).open(Vault(KEY).seal(secret, context), context) == secret


def test_it_opens_nowhere_else() -> None:
    sealed = Vault(KEY).seal(b"secret", "dkim:a:s")
    for vault, blob, context in (
        (Vault(bytes(32)), sealed, "dkim:a:s"),
        (Vault(KEY), sealed, "dkim:b:s"),
        (Vault(KEY), sealed[:-1] + bytes([sealed[-1] ^ 1]), "dkim:a:s"),
        (Vault(KEY), b"\x02" + sealed[1:], "dkim:a:s"),
        (Vault(KEY), b"", "dkim:a:s"),
        (Vault(KEY), sealed[:10], "dkim:a:s"),
    ):
        with pytest.raises(StoreCorruptError):
            vault.open(blob, context)


def test_two_seals_of_one_secret_differ() -> None:
    assert Vault(KEY).seal(b"x", "c") != Vault(KEY).seal(b"x", "c")


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(path), range(8)))
    assert len(keys) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_what_an_earlier_start_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".master.key.{os.getpid()}").write_bytes(b"half")
    assert len(load_or_create_key(tmp_path / "master.key")) == 32


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_file_that_is_no_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a key"):
        load_or_create_key(path)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        load_or_create_key(tmp_path / "missing" / "master.key")

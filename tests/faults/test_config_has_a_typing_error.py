"""Fault: a setting is misspelled, of the wrong type or out of bounds, in the file or in the environment.

The start stops before anything is touched, with one sentence that names the setting and what was probably meant, and
the exit code for it (78, EX_CONFIG). A misspelled setting that was ignored would be found months later.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from outrider.base.errors import ConfigError
from outrider.config import load
from outrider.testing.program import Program

CASES: list[tuple[str, dict[str, str], list[str]]] = [
    ("", {"OUTRIDER_DELIVRY": "direct"}, ["'delivry'", "OUTRIDER_DELIVRY", "'delivery'"]),
    ("", {"OUTRIDER_ENGINE__LEASES_S": "9"}, ["[engine] 'leases_s'", "OUTRIDER_ENGINE__LEASES_S", "'lease_s'"]),
    ("", {"OUTRIDER_ENGINE__LEASE_S": "soon"}, ["engine.lease_s", "float"]),
    ("", {"OUTRIDER_HTTP_PORT": "80 25"}, ["faces.http_port", "int"]),
    ("", {"OUTRIDER_HTTP_PORT": "99999"}, ["faces.http_port", "65535"]),
    ("delivery = direct\n", {}, ["outrider.toml", "line 1"]),
    ("delivrey = 'direct'\n", {}, ["'delivrey'", "'delivery'"]),
    ("[engine]\nlease = 9\n", {}, ["[engine] 'lease'", "'lease_s'"]),
    ("[engin]\nlease_s = 9\n", {}, ["'engin'", "'engine'"]),
    ("[engine]\nlease_s = -1\n", {}, ["engine.lease_s", ">= 2"]),
    ("engine = 7\n", {}, ["engine", "object"]),
    ("[log]\nlevel = 'verbose'\n", {}, ["log.level", "verbose"]),
]


@pytest.mark.parametrize(("text", "env", "words"), CASES)
def test_it_is_named(tmp_path: Path, text: str, env: Mapping[str, str], words: list[str]) -> None:
    (tmp_path / "outrider.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({"OUTRIDER_DATA_DIR": str(tmp_path), **env})
    for word in words:
        assert word in caught.value.public, caught.value.public
    (tmp_path / "outrider.toml").write_text("")
    assert load({"OUTRIDER_DATA_DIR": str(tmp_path)}).data_path == tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", [("serve",), ("init", "--json")])
async def test_the_program_stops_before_it_touches_anything(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with Program(tmp_path / "node", env={"OUTRIDER_ENGINE__LEASES_S": "9"}) as program:
        finished = await program.command(*command)
    assert finished.code == 78
    assert finished.stdout == ""
    assert finished.stderr.startswith("outrider: There is no setting [engine] 'leases_s'")
    assert len(finished.stderr.splitlines()) == 1
    assert not program.data_dir.exists()

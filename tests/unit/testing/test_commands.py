"""Forked commands are like started ones: streams, exit code, environment, deadline."""

import os
import subprocess
from pathlib import Path

import pytest

from outrider.testing.commands import PROGRAM, nursery

pytestmark = pytest.mark.slow
ENV = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}


@pytest.mark.parametrize("arguments", [["--help"], ["vault", "make"], ["key", "list", "--nonsense"], ["nothing"]])
async def test_a_forked_command_ends_and_speaks_as_the_installed_one_does(arguments: list[str]) -> None:
    started = subprocess.run([PROGRAM, *arguments], env=ENV, capture_output=True, text=True, timeout=60.0, check=False)
    forked = await nursery().run(arguments, ENV, timeout_s=60.0)
    assert (forked.code, forked.stderr) == (started.returncode, started.stderr)
    assert len(forked.stdout.splitlines()) == len(started.stdout.splitlines())
    if arguments != ["vault", "make"]:  # It says another key each time.
        assert forked.stdout == started.stdout


async def test_a_command_has_the_environment_it_is_given(tmp_path: Path) -> None:
    wrong = {**ENV, "OUTRIDER_DATA_DIR": str(tmp_path / "node"), "OUTRIDER_ENGINE__LEASES_S": "9"}
    finished = await nursery().run(["key", "list"], wrong, timeout_s=60.0)
    assert (finished.code, finished.stdout) == (78, "")
    assert "leases_s" in finished.stderr.lower()


async def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        await nursery().run(["sink", "--", "--port", "0"], ENV, timeout_s=1.0)
    assert (await nursery().run(["vault", "make"], ENV, timeout_s=60.0)).code == 0

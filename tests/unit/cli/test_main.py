"""The program as a whole: it does not run without its assertions."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("options", "code"), [(["-O"], os.EX_SOFTWARE), ([], 0)])
def test_it_does_not_run_without_assertions(options: list[str], code: int) -> None:
    program = "import sys; sys.argv = ['outrider', '--help']; from outrider.cli import main; main.run()"
    found = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == code
    assert ("python -O" in found.stderr) == bool(options)

"""Processes as /proc shows them, on a child of our own."""

import os
import subprocess
import sys

import pytest

from outrider.testing import usage
from outrider.testing.usage import Usage

pytestmark = pytest.mark.slow

CODE = "import sys; sys.stdin.read()"


def test_a_child_is_seen_measured_and_missed() -> None:
    child = subprocess.Popen([sys.executable, "-c", CODE, "marker"], stdin=subprocess.PIPE, env={"WHO": "child"})
    try:
        assert child.pid in usage.family(os.getpid())
        assert usage.words_of(child.pid)[-1] == "marker"
        found = usage.measure({child.pid: "web", os.getpid(): "web"})["web"]
        assert found.process_count == 2
        assert found.rss_bytes > found.pss_bytes > 1_000_000
        assert found.pss_bytes >= found.private_bytes > 500_000
        assert 3 <= usage.descriptor_count(child.pid) < 20
        assert not usage.wait_gone(child.pid, 0.01)
    finally:
        child.kill()
    assert usage.wait_gone(child.pid, 5.0)
    seen = usage.look(child.pid)
    assert seen is not None
    assert not seen.is_alive
    child.communicate()
    assert usage.look(child.pid) is None
    assert usage.wait_gone(child.pid, 0.01)
    assert usage.measure({child.pid: "web"}) == {"web": Usage()}
    assert usage.family(child.pid) == []
    assert usage.descriptor_count(child.pid) == 0
    assert usage.words_of(child.pid) == []

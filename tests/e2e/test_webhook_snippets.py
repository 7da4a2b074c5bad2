"""The programs of docs/howto/webhooks.md, run as they stand: each verifies our calls, and refuses what is not ours."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from outrider.wire import hooksign

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAGE: Final = (Path(__file__).parents[2] / "docs/howto/webhooks.md").read_text("utf-8")
BODY: Final = '{"type":"mail.delivered","data":{"subject":"Grüße"}}\n'.encode()
SECRET: Final = bytes(range(32))
RUN_S: Final = 100.0  # Go compiles its library first.


def snippet(heading: str) -> str:
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    (found,) = re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(found)


async def run(folder: Path, name: str, command: list[str], signed: dict[str, str], body: bytes) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *command,
        name,
        cwd=folder,
        env={
            **{known: os.environ[known] for known in ("PATH", "HOME", "GOCACHE", "GOFLAGS") if known in os.environ},
            "WEBHOOK_SECRET": hooksign.secret_text(SECRET),
            **{known.upper().replace("-", "_"): value for known, value in signed.items()},
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_S):
            stdout, stderr = await child.communicate(body)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, stdout.decode() + stderr.decode()


@pytest.mark.parametrize(
    ("heading", "name", "command"),
    [
        pytest.param("Python", "verify.py", [sys.executable], id="python"),
        pytest.param("Node", "verify.mjs", ["node"], marks=pytest.mark.needs("node"), id="node"),
        pytest.param("PHP", "verify.php", ["php"], marks=pytest.mark.needs("php"), id="php"),
        pytest.param("Go", "verify.go", ["go", "run"], marks=pytest.mark.needs("go"), id="go"),
        pytest.param("Shell", "verify.sh", ["sh"], marks=pytest.mark.needs("openssl", "sh"), id="sh"),
    ],
)
async def test_a_program_of_the_page_verifies_a_call(
    tmp_path: Path, heading: str, name: str, command: list[str]
) -> None:
    (tmp_path / name).write_text(snippet(heading), "utf-8")
    now = int(datetime.now(UTC).timestamp())
    good = hooksign.headers([SECRET], "3f2-1a-5f3c", now, BODY)
    rotating = hooksign.headers([bytes(24), SECRET], "3f2-1a-5f3c", now, BODY)
    for signed in (good, rotating):
        code, said = await run(tmp_path, name, command, signed, BODY)
        assert (code, said.strip()) == (0, "verified 3f2-1a-5f3c")
    old = hooksign.headers([SECRET], "3f2-1a-5f3c", now - 3600, BODY)
    strange = hooksign.headers([bytes(24)], "3f2-1a-5f3c", now, BODY)
    for signed, body in ((good, BODY + b" "), (old, BODY), (strange, BODY), (good | {"webhook-id": "other"}, BODY)):
        code, said = await run(tmp_path, name, command, signed, body)
        assert code != 0, said
        assert "refused" in said

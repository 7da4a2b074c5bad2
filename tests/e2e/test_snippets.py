"""The programs of docs/howto/clients.md, run as they stand: what a reader pastes works."""

import asyncio
import email.policy
import os
import re
import sys
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import pytest

from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/howto/clients.md").read_text("utf-8")
PDF: Final = b"%PDF-1.4\n\0\xff an invoice\n"
RUN_S: Final = 100.0  # Go compiles its library first.


def snippets(heading: str, language: str) -> list[str]:
    """Return the blocks of that language under a heading of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


async def run(program: Program, folder: Path, name: str, text: str, command: Sequence[str]) -> str:
    """Run a program beside an `invoice.pdf`; return what it printed."""
    (folder / name).write_text(text, "utf-8")
    (folder / "invoice.pdf").write_bytes(PDF)
    assert program.key is not None
    child = await asyncio.create_subprocess_exec(
        *command,
        name,
        cwd=folder,
        env=environment({"OUTRIDER_URL": program.url, "OUTRIDER_API_KEY": program.key.pair.replace(":", ".")}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_S):
            stdout, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert (child.returncode, stderr.decode()[-2000:]) == (0, "")
    return stdout.decode()


def environment(more: Mapping[str, str]) -> Mapping[str, str]:
    kept = ("PATH", "HOME", "PYTHONPATH", "GOCACHE", "GOFLAGS", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(more)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("heading", "language", "name", "command"),
    [
        pytest.param("curl", "sh", "send.sh", ["bash", "-eu"], marks=pytest.mark.needs("curl", "bash"), id="curl"),
        pytest.param("Python", "python", "send.py", [sys.executable], id="python"),
        pytest.param("Node", "js", "send.mjs", ["node"], marks=pytest.mark.needs("node"), id="node"),
        pytest.param("PHP", "php", "send.php", ["php"], marks=pytest.mark.needs("php"), id="php"),
        pytest.param("Go", "go", "send.go", ["go", "run"], marks=pytest.mark.needs("go"), id="go"),
    ],
)
async def test_a_program_of_the_page_sends_its_mail_once(
    caught: Program, tmp_path: Path, heading: str, language: str, name: str, command: list[str]
) -> None:
    (text,) = snippets(heading, language)
    before = invoices(caught)
    first = await run(caught, tmp_path, name, text, command)
    again = await run(caught, tmp_path, name, text, command)
    (found,) = re.findall(r"accepted ([0-9a-f-]{36})", first)
    assert found in again
    assert re.search(r"ann@partner\.example\W+(status\W+)?(queued|delivered)", first)
    answer = await caught.settled(found)
    assert [row["Status"] for row in answer["Data"]] == ["delivered"]
    shown = await content(caught, found)
    assert shown["html"] == "<p>Thank you. Your invoice is <b>attached</b>.</p>"
    assert [(one["name"], one["size_bytes"]) for one in shown["attachments"]] == [("invoice.pdf", len(PDF))]
    (message,) = [message for path, message in invoices(caught).items() if path not in before]
    parts = {part.get_content_type(): part for part in message.walk()}
    assert message["Subject"] == "Your invoice"
    assert parts["text/plain"].get_content().strip() == "Thank you. Your invoice is attached."
    assert parts["application/pdf"].get_content() == PDF


@pytest.mark.timeout(240)
async def test_the_longer_python_program_runs(caught: Program, tmp_path: Path) -> None:
    text, follow = snippets("More of the Python client", "python")
    printed = (await run(caught, tmp_path, "batch.py", text, [sys.executable])).splitlines()
    assert [bool(re.fullmatch(r"[0-9a-f-]{36}", line)) for line in printed[:2]] == [True, True]
    assert printed[2:] == ["waits Reminder 1002", "stopped 1", "waits Reminder 1001", "stopped 1"]
    compile(follow, "follow.py", "exec")


async def content(program: Program, message_id: str) -> Any:
    answer = await program.request("GET", f"/v1/emails/{message_id}/content", key=program.key)
    assert answer.status == 200
    return answer.json()


def invoices(program: Program) -> dict[Path, EmailMessage]:
    """Return the messages with the file in the catch mailbox."""
    found = {path: path.read_bytes() for path in program.data_dir.glob("mailbox/new/*")}
    return {
        path: email.message_from_bytes(octets, policy=email.policy.default)
        for path, octets in found.items()
        if b"invoice.pdf" in octets
    }

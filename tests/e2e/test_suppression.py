"""Suppressions by commands: what is added stops mail at the API, is told everywhere, and is gone when it is removed."""

import csv
import io
from pathlib import Path

import pytest

from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXIT_USAGE, EXIT_DATA = 2, 65
SUPPRESSED = "recipient suppressed"


async def test_a_suppressed_recipient_is_refused_told_of_and_let_in_again(caught: Program) -> None:
    added = await caught.command("suppression", "add", "Gone@g.example", "--note", "by phone", "--days", "30")
    assert (added.code, added.stdout.split()) == (0, ["added:", "1", "unchanged:", "0"])
    some = await caught.send(["gone@g.example", "here@g.example"])
    assert (some["RetCode"], some["SuccessCount"], "SessionNo" in some) == (0, 1, True)
    assert some["FailedTargetEmails"] == [{"EmailAddress": "gone@g.example", "FailureReason": SUPPRESSED}]
    nobody = await caught.send(["gone@g.example"])
    assert (nobody["RetCode"], nobody["Message"]) == (215392, "Invalid parameter [TargetEmailAddress]")
    assert "SessionNo" not in nobody
    assert nobody["FailedTargetEmails"] == some["FailedTargetEmails"]

    (told,) = await caught.command_json("why", "gone@g.example")
    assert told["subject"] == "address gone@g.example"
    assert "unsubscribe, by the operator, since" in told["lines"][0]["text"]
    assert told["lines"][0]["until"] is not None
    shown = await caught.command("suppression", "show", "GONE@g.example")
    assert "by phone" in shown.stdout

    removed = await caught.command_json("suppression", "remove", "gone@g.example", "--why", "she wrote again")
    assert removed == {"removed": 1, "addresses": ["gone@g.example"]}
    assert (await caught.send(["gone@g.example"]))["SuccessCount"] == 1
    view = await caught.command_json("suppression", "show", "gone@g.example")
    assert (view["entries"], view["past"][0]["removed_why"]) == ([], "she wrote again")
    assert (await caught.command("suppression", "remove", "gone@g.example", "--why", "again")).code == EXIT_DATA


async def test_status_and_show_tell_of_what_came_later(caught: Program) -> None:
    session = (await caught.send(["late@l.example"]))["SessionNo"]
    await caught.command("suppression", "add", "late@l.example", "--scope", "stream:marketing", "--everybody")
    for arguments in (("status", session), ("show", "late@l.example"), ("why", "late@l.example")):
        assert "gets no marketing mail from any project: unsubscribe" in (await caught.command(*arguments)).stdout
    assert (await caught.send(["late@l.example"]))["RetCode"] == 0, "it is not marketing"
    await caught.command("suppression", "remove", "late@l.example", "--everybody", "--why", "test")


async def test_a_file_goes_in_and_comes_out(caught: Program, tmp_path: Path) -> None:
    await caught.command_json("key", "create", "--project", "filed")
    mine = ("--project", "filed")
    good = [f"u{number:04}@f.example,complaint" for number in range(1_500)]
    file, out = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text("\n".join(["address,reason", *good[:700], "nobody", "x@f.example,content.spam", *good[700:]]))
    first = await caught.command("suppression", "import", str(file), *mine)
    assert first.code == EXIT_DATA
    assert [line.split(":")[0] for line in first.stderr.splitlines()] == ["line 702, address", "line 703, reason"]
    assert first.stdout.split() == ["added:", "1500", "unchanged:", "0", "bad", "lines:", "2"]
    again = await caught.command("suppression", "import", str(file), "--json", *mine)
    assert '"added_count": 0' in again.stdout
    assert (await caught.command("suppression", "export", str(out), *mine)).code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [f"{row['address']},{row['reason']}" for row in rows] == good
    to_stdout = await caught.command("suppression", "export", "-", *mine)
    assert to_stdout.stdout.replace("\r\n", "\n") == out.read_text()
    assert await caught.command_json("suppression", "counts", *mine) == [{"reason": "complaint", "count": 1500}]
    page = await caught.command_json("suppression", "list", "--count", "1000", *mine)
    rest = await caught.command_json("suppression", "list", "--count", "1000", "--after", page["next"], *mine)
    assert [one["address_key"] for one in page["entries"] + rest["entries"]] == [row["address"] for row in rows]
    assert rest["next"] == ""
    found = await caught.command("suppression", "list", "--contains", "U0007@", *mine)
    assert "u0007@f.example" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("add", "nobody"), EXIT_DATA, "no @"),
        (("add", "a@b.example", "--scope", "planet:mars"), EXIT_DATA, "scope"),
        (("add", "a@b.example", "--scope", "stream:news"), EXIT_DATA, "stream"),
        (("add", "a@b.example", "--reason", "content.spam"), EXIT_DATA, "reason"),
        (("add", "a@b.example", "--days", "0"), EXIT_DATA, "days"),
        (("add", "a@b.example", "--project", "nobody"), EXIT_DATA, "project"),
        (("show", "nobody"), EXIT_DATA, "no @"),
        (("list", "--reason", "boredom"), EXIT_DATA, "reason"),
        (("list", "--after", "x"), EXIT_DATA, "page"),
        (("remove", "a@b.example"), EXIT_USAGE, "why"),
        (("remove", "a@b.example", "--why", " "), EXIT_DATA, "why"),
        (("import", "/nowhere/at/all.csv"), EXIT_DATA, "cannot be read"),
        (("import", __file__), EXIT_DATA, "first line"),
        (("export", "/nowhere/at/all.csv"), EXIT_DATA, "cannot be written"),
    ],
)
async def test_a_mistake_is_one_sentence(caught: Program, arguments: tuple[str, ...], code: int, word: str) -> None:
    finished = await caught.command("suppression", *arguments)
    assert (finished.code, finished.stdout) == (code, "")
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr

"""A wrong rule of an operator's, from the file to the suppression it makes, to the replay that undoes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from outrider.testing.program import SENDER, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXIT_USAGE, EXIT_DATA, EXIT_CONFIG = 2, 65, 78
RULE = """
[[rule]]
id = "own.odd"
reason = "recipient.invalid"
pattern = '^554 5\\.7\\.9 '
fate = "bounced"
source = "a guess"
seen_on = 2026-11-24
samples = ["554 5.7.9 said the simulator"]
"""
ODD = "reply+554-5.7.9@simulator.outrider.test"
GONE = "bounce@simulator.outrider.test"
UNKNOWN = "reply+554@simulator.outrider.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(shared_folder: Path) -> AsyncIterator[Program]:
    """Yield a program whose operator has a rule that takes people for gone who are not."""
    (shared_folder / "bad.toml").write_text(RULE, "utf-8")
    (shared_folder / "good.toml").write_text(RULE.replace("recipient.invalid", "content.spam"), "utf-8")
    (shared_folder / "broken.toml").write_text(RULE.replace("recipient.invalid", "recipient.gone"), "utf-8")
    env = {"OUTRIDER_CLASSIFY__FILE": str(shared_folder / "bad.toml"), "COLUMNS": "400"}  # No cell is folded.
    async with Program(shared_folder / "node", env=env) as one:
        await one.start()
        yield one


async def send(program: Program, *addresses: str) -> int:
    given = ("--from", SENDER, "--subject", "Hi", "--text", "Hello")
    return (await program.command("send", *addresses, *given)).code


async def test_a_wrong_rule_is_replayed_and_what_it_did_is_undone(program: Program, shared_folder: Path) -> None:
    answer = await program.send([ODD, GONE, UNKNOWN])

    async def is_over() -> bool:
        rows = (await program.session(answer["SessionNo"]))["Data"]
        return all(row["Status"] == "bounced" for row in rows)

    await program.until(is_over)
    assert await send(program, ODD) == EXIT_DATA, "suppressed"
    good = str(shared_folder / "good.toml")
    shown = await program.command("rules", "replay", good)
    assert (shown.code, ODD in shown.stdout, GONE in shown.stdout) == (0, True, False)
    assert "1 suppressions would not have been made; --apply removes them" in shown.stdout
    assert await send(program, ODD) == EXIT_DATA
    applied = await program.command_json("rules", "replay", good, "--days", "1", "--apply")
    assert (applied["judged_count"], applied["wrong_count"], applied["removed_count"]) == (3, 1, 1)
    assert [(one["old_reason"], one["new_reason"]) for one in applied["changes"]] == [
        ("recipient.invalid", "content.spam")
    ]
    assert (await send(program, ODD), await send(program, GONE)) == (0, EXIT_DATA)

    unknown = await program.command_json("rules", "unknown", "--days", "1")
    (group,) = unknown["groups"]
    assert (group["count"], group["reason"], group["phase"]) == (1, "unknown.hard", "rcpt")
    assert group["example"].startswith("554 ")
    assert group["example"] in " ".join((await program.command("rules", "unknown")).stdout.split())


async def test_rules_are_listed_and_tried(program: Program, shared_folder: Path) -> None:
    listed = await program.command_json("rules", "list", "--reason", "recipient.invalid")
    assert (listed[0]["id"], listed[0]["is_own"], listed[1]["is_own"]) == ("own.odd", True, False)
    assert {one["reason"] for one in listed} == {"recipient.invalid"}
    tried = await program.command_json("rules", "test", "554 5.7.9 whatever")
    assert (tried["reason"], tried["fate"], tried["rule"]) == ("recipient.invalid", "bounced", "own.odd")
    assert (tried["suppresses"], tried["version"]) == ("at once", listed[0]["version"])
    alone = ("--file", str(shared_folder / "good.toml"), "--alone")
    assert len(await program.command_json("rules", "list", *alone)) == 1
    gone = await program.command_json("rules", "test", "550 5.1.1 no such user", *alone)
    assert (gone["reason"], gone["suppresses"]) == ("unknown.hard", "when it comes again and again")
    greeting = await program.command_json("rules", "test", "554-5.7.1 no\n554 5.7.1 more", "--phase", "greeting")
    assert (greeting["fate"], greeting["suppresses"]) == ("deferred", "no")
    report = await program.command_json("rules", "test", "smtp; 550 5.1.1 no such user", "--report")
    assert report["reason"] == "recipient.invalid"


async def test_what_is_wrong_is_named(program: Program, shared_folder: Path) -> None:
    broken = await program.command("rules", "replay", str(shared_folder / "broken.toml"))
    assert (broken.code, "rule own.odd: Invalid enum value 'recipient.gone'" in broken.stderr) == (EXIT_DATA, True)
    missing = await program.command("rules", "list", "--file", str(shared_folder / "none.toml"))
    assert (missing.code, "none.toml cannot be read" in missing.stderr) == (EXIT_DATA, True)
    assert (await program.command("rules", "test", "hello")).code == EXIT_DATA
    assert (await program.command("rules", "list", "--alone")).code == EXIT_DATA
    assert (await program.command("rules", "list", "--reason", "no.such")).code == EXIT_USAGE

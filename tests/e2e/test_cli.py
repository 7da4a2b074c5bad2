"""Every command, as a process, with --json: the same answers whether or not the server runs, and errors for people."""

import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from outrider.base.vocab import Stream
from outrider.policy.guard import GuardLevel
from outrider.store import guards, projects
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.guards import Guard
from outrider.store.pool import Store
from outrider.store.settings import EmbeddedSettings, StoreSettings
from outrider.testing.clock import EPOCH, RealClock
from outrider.testing.postgres import make_folder
from outrider.testing.program import Program
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SEND = ("send", "user@partner.example", "--from", "noreply@shop.example", "--subject", "Hi", "--text", "Hello")
EXIT_USAGE, EXIT_DATA, EXIT_CONFIG = 2, 65, 78
RUNNING = pytest.mark.parametrize("program", ["running"], indirect=True)
STOPPED = pytest.mark.parametrize("program", ["stopped"], indirect=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["running", "stopped"])
async def program(request: pytest.FixtureRequest) -> AsyncIterator[Program]:
    """Yield a program in catch mode that is set up; it runs, or nobody does, but for the database.

    That is held up for the module: each command would start and stop it again (tests/e2e/test_first_mail.py has one
    that does).
    """
    folder = make_folder()
    database = EmbeddedPostgres(folder / "node", EmbeddedSettings(), clock=RealClock())
    async with Program(folder / "node") as one:
        if request.param == "running":
            await one.start()
        else:
            await one.set_up()
            await database.start()
        yield one
        await database.stop()
    shutil.rmtree(folder)


async def test_init_is_safe_to_repeat(program: Program) -> None:
    first, second = await program.command_json("init"), await program.command_json("init")
    assert first == second
    assert len(first["access_key_id"]) == 32
    assert set(first["access_key_id"]) <= set("0123456789abcdef")


async def test_keys_are_made_listed_and_revoked(program: Program) -> None:
    made = await program.command_json("key", "create", "--name", "till")
    assert {"access_key_id", "access_key_secret"} <= made.keys()
    rows = {row["access_key_id"]: row for row in await program.command_json("key", "list")}
    assert rows[made["access_key_id"]]["name"] == "till"
    assert rows[made["access_key_id"]]["revoked_at"] is None
    assert made["access_key_secret"] not in json.dumps(list(rows.values()))
    await program.command_json("key", "revoke", made["access_key_id"])
    rows = {row["access_key_id"]: row for row in await program.command_json("key", "list")}
    assert rows[made["access_key_id"]]["revoked_at"] is not None


async def test_domains_and_their_records(program: Program) -> None:
    added = await program.command_json("domain", "add", "News.Shop.Example")
    assert (added["name"], added["status"]) == ("news.shop.example", "unverified")
    added = await program.command_json("domain", "add", "news.shop.example", "--verified")
    assert added["status"] == "verified"
    names = [row["name"] for row in await program.command_json("domain", "list")]
    assert names.count("news.shop.example") == 1
    records = await program.command_json("domain", "dns", "news.shop.example")
    assert all({"type", "host", "value"} <= record.keys() for record in records)
    keys = [record for record in records if "._domainkey." in record["host"]]
    assert sorted(record["value"].partition("k=")[2].partition(";")[0] for record in keys) == ["ed25519", "rsa"]


async def test_a_project_has_a_bounce_domain(program: Program) -> None:
    assert await program.command_json("domain", "bounces") == {"bounce_domain": "", "is_shared": True}
    await program.command_json("domain", "add", "paths.example", "--verified")
    told = await program.command("domain", "bounces", "bounces.paths.example")
    assert (told.code, "outrider domain dns" in told.stdout) == (0, True)
    found = await program.command_json("domain", "bounces")
    assert found == {"bounce_domain": "bounces.paths.example", "is_shared": False}
    records = await program.command_json("domain", "dns", "paths.example")
    # No SPF record: nobody has said what this machine sends from.
    assert [record["type"] for record in records if record["host"] == "bounces.paths.example"] == ["MX"]
    assert (await program.command_json("domain", "bounces", "--shared"))["is_shared"]


async def test_a_domain_has_a_rate(program: Program) -> None:
    await program.command_json("domain", "add", "slow.example")
    assert (await program.command_json("domain", "rate", "slow.example"))["rate_per_minute"] is None
    assert (await program.command_json("domain", "rate", "Slow.Example", "60"))["rate_per_minute"] == 60
    rows = {row["name"]: row["rate_per_minute"] for row in await program.command_json("domain", "list")}
    assert (rows["slow.example"], rows["shop.example"]) == (60, None)
    assert (await program.command_json("domain", "rate", "slow.example", "none"))["rate_per_minute"] is None


async def test_a_sender_is_changed_and_removed(program: Program) -> None:
    address = "change@shop.example"
    await program.command_json("sender", "add", address, "--name", "Old")
    assert (await program.command_json("sender", "rename", address, "New"))["name"] == "New"
    assert (await program.command_json("sender", "disable", address))["may_send"] is False
    assert (await program.command_json("sender", "enable", address))["may_send"] is True
    refused = await program.command("sender", "remove", "noreply@shop.example")
    assert (refused.code, "is the default sender" in refused.stderr) == (EXIT_DATA, True)
    assert (await program.command("sender", "remove", address)).code == 0
    assert address not in (await program.command("sender", "list")).stdout
    off = await program.command("sender", "prove", "ann@gmail.example")
    assert (off.code, "mailbox_proof is off" in off.stderr) == (EXIT_DATA, True)


async def test_senders(program: Program) -> None:
    added = await program.command_json("sender", "add", "hello@shop.example", "--name", "Hello Shop")
    assert (added["address"], added["name"], added["may_send"]) == ("hello@shop.example", "Hello Shop", True)
    addresses = [row["address"] for row in await program.command_json("sender", "list")]
    assert "hello@shop.example" in addresses


async def test_warm_ups_are_planned_set_and_listed(program: Program) -> None:
    plans = {plan["name"]: plan for plan in await program.command_json("warmup", "plans")}
    assert plans["sparkpost"]["stages"][:3] == [200, 500, 1000]
    assert plans["sparkpost"]["source"]
    made = await program.command_json("warmup", "set", "out1", "gmail", "--stage", "3", "--plan", "sparkpost")
    assert (made["stage"], made["ceiling"], made["used"]) == (3, 1000, 0)
    made = await program.command_json("warmup", "set", "out1", "gmail", "--stage", "warm")
    assert (made["plan"], made["ceiling"], made["next_change_on"]) == ("sparkpost", None, None)
    rows = {(row["source"], row["provider"]): row for row in await program.command_json("warmup")}
    assert rows["out1", "gmail"] == made
    for wrong in (["gmail", "--stage", "31"], ["gmail", "--stage", "-1"], ["yahoo", "--stage", "1"]):
        assert (await program.command("warmup", "set", "out1", *wrong)).code != 0


async def test_guards_are_listed_and_released(program: Program) -> None:
    assert await program.command_json("guard") == []
    assert "Nobody sent enough to be judged." in (await program.command("guard")).stdout
    async with Store(program.dsn(), StoreSettings()) as store, store.transaction() as tx:
        project = await projects.by_name(tx, "default")
        assert project is not None
        for domain in ("", "shop.example"):
            paused = Guard(project.project_id, domain, Stream.MARKETING, GuardLevel.PAUSE, "Too much.", EPOCH)
            assert await guards.begin(tx, paused)
    rows = [(row["sender_domain"], row["state"], row["sentence"]) for row in await program.command_json("guard")]
    assert rows == [("", "pause", "Too much."), ("shop.example", "pause", "Too much.")]
    shown = (await program.command("guard")).stdout
    assert "PROJECT" in shown
    (released,) = await program.command_json("guard", "release", "shop.example")
    assert (released["sender_domain"], released["level"]) == ("shop.example", "ok")
    told = await program.command("guard", "release", "--project", "default")
    assert told.stdout == "released: marketing mail of the project; what was sent before no longer counts\n"
    assert {row["state"] for row in await program.command_json("guard")} == {"ok"}


async def test_send_status_events_and_mailbox(program: Program) -> None:
    sent = await program.command_json(*SEND)
    assert sent["recipient_count"] == 1
    is_running = bool(program.serving_pids)

    async def look() -> Any:
        status = await program.command_json("status", sent["session_id"])
        (row,) = status["recipients"]
        return row if row["status"] == "delivered" or not is_running else None

    row = await program.until(look)
    assert (row["address"], row["status"]) == ("user@partner.example", "delivered" if is_running else "queued")
    lines = (await program.command("events", "--json")).stdout.splitlines()
    kinds = [event["kind"] for event in map(json.loads, lines) if event["message_id"] == sent["session_id"]]
    assert kinds == (["accepted", "delivered"] if is_running else ["accepted"])
    rows = await program.command_json("mailbox")
    found = [row for row in rows if "user@partner.example" in row["envelope_recipients"]]
    assert len(found) == is_running
    if found:
        shown = await program.command_json("mailbox", found[0]["name"])
        assert [check["result"] for check in shown["signatures"]] == ["pass", "pass"]
        assert "Subject: Hi" in (await program.command("mailbox", found[0]["name"], "--source")).stdout


async def test_the_mailbox_is_cleared_and_answers_in_words_unless_asked_for_json(program: Program) -> None:
    cleared = await program.command("mailbox", "--clear")
    assert (cleared.code, cleared.stdout.startswith("deleted_count: ")) == (0, True)
    assert await program.command_json("mailbox", "--clear") == {"deleted_count": 0}
    assert await program.command_json("mailbox", "--limit", "500") == []


async def test_an_idempotency_key_sends_once(program: Program) -> None:
    first = await program.command_json(*SEND, "--idempotency-key", "order-1")
    assert (await program.command_json(*SEND, "--idempotency-key", "order-1"))["session_id"] == first["session_id"]


MISTAKES = [
    (("status", "not-a-session"), EXIT_DATA),
    (("status", "3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11"), EXIT_DATA),
    (("domain", "dns", "unknown.example"), EXIT_DATA),
    (("domain", "add", "not a domain"), EXIT_DATA),
    (("domain", "bounces", "bounces.stranger.example"), EXIT_DATA),
    (("domain", "bounces", "not a domain"), EXIT_DATA),
    (("domain", "rate", "shop.example", "0"), EXIT_DATA),
    (("domain", "rate", "shop.example", "fast"), EXIT_DATA),
    (("domain", "rate", "shop.example", "9" * 5000), EXIT_DATA),
    (("domain", "rate", "unknown.example", "5"), EXIT_DATA),
    (("events", "--after", "9" * 5000 + "-0"), EXIT_DATA),
    (("events", "--after", "0-" + "9" * 5000), EXIT_DATA),
    (("queue", "pause", "lane", "9" * 5000), EXIT_DATA),
    (("warmup", "set", "out1", "gmail", "--plan", "sparkpost", "--stage", "9" * 5000), EXIT_DATA),
    (("guard", "release", "not a domain"), EXIT_DATA),
    (("guard", "release", "--project", "nobody"), EXIT_DATA),
    (("guard", "release"), EXIT_DATA),
    (("why", "9" * 5000), EXIT_DATA),
    (("show", "9" * 5000), EXIT_DATA),
    (("sender", "add", "me@elsewhere.example"), EXIT_DATA),
    (("sender", "add", "nobody"), EXIT_DATA),
    (("send", "user@partner.example", "--from", "x@shop.example", "--subject", "s", "--text", "t"), EXIT_DATA),
    (("mailbox", "../../etc/passwd"), EXIT_DATA),
    (("mailbox", "1.nothing"), EXIT_DATA),
    (("mailbox", "--limit", "501"), EXIT_USAGE),  # The mailbox lists no more at once.
    (("key", "revoke", "0" * 32), EXIT_DATA),
    (("serve", "--role", "cook"), EXIT_CONFIG),
    (("dance",), EXIT_USAGE),
]


@RUNNING
@pytest.mark.parametrize(("arguments", "code"), MISTAKES)
async def test_a_mistake_is_one_sentence_and_an_exit_code(
    program: Program, arguments: tuple[str, ...], code: int
) -> None:
    await check_mistake(program, arguments, code)


@STOPPED
@pytest.mark.parametrize(("arguments", "code"), [MISTAKES[0], MISTAKES[-1]])
async def test_a_mistake_is_the_same_while_nobody_runs(program: Program, arguments: tuple[str, ...], code: int) -> None:
    await check_mistake(program, arguments, code)


async def check_mistake(program: Program, arguments: tuple[str, ...], code: int) -> None:
    finished = await program.command(*arguments)
    assert (finished.code, finished.stdout) == (code, "")
    assert finished.stderr.strip()
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("OUTRIDER_HTTP_PROT", "1", "http_port"),
        ("OUTRIDER_HTTP_PORT", "many", "http_port"),
        ("OUTRIDER_HTTP_PORT", "99999", "http_port"),
        ("OUTRIDER_DELIVERY", "carrier-pigeon", "delivery"),
        ("OUTRIDER_ENGINE__LEASE_S", "-1", "lease_s"),
    ],
)
async def test_a_wrong_setting_stops_the_start_and_is_named(folder: Path, name: str, value: str, word: str) -> None:
    async with Program(folder / "node", env={name: value}) as program:
        finished = await program.command("serve", timeout_s=20.0)
    assert finished.code == EXIT_CONFIG
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr


async def test_a_taken_port_is_named(folder: Path, sink: RunningSink) -> None:
    async with Program(folder / "node", env={"OUTRIDER_HTTP_PORT": str(sink.port)}) as program:
        finished = await program.command("serve", timeout_s=20.0)
    assert finished.code == EXIT_CONFIG
    assert "OUTRIDER_HTTP_PORT" in finished.stderr


@RUNNING
async def test_help_is_quick_and_names_every_command(program: Program) -> None:
    finished = await program.command("--help", timeout_s=10.0)
    assert finished.code == 0
    for command in ("init", "serve", "key", "domain", "sender", "send", "status", "mailbox"):
        assert command in finished.stdout


@RUNNING
async def test_the_sink_is_a_command(program: Program) -> None:
    with contextlib.suppress(TimeoutError):
        finished = await program.command("sink", "--", "--lifetime", "0.2", timeout_s=20.0)
        assert finished.code == 0
        assert json.loads(finished.stdout)["port"] > 0
        return
    pytest.fail("it outlived its lifetime")

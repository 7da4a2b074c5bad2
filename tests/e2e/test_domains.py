"""A newcomer adds a domain: records printed, published in a real name server, verified; lost, stopped, and back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.dns import DnsServer, Node
from outrider.testing.program import Key, Program
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NAME = "mail.shop.example"
ZONE: dict[str, Node] = {
    "partner.example": Node(mx=((10, "mx.partner.example"),)),
    "mx.partner.example": Node(a=("127.0.0.1",)),
    "out.us.example": Node(a=("127.0.0.1",)),
    "shop.example": Node(a=("192.0.2.1",)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(shared_folder: Path, sink: RunningSink) -> AsyncIterator[Program]:
    """Yield a program in direct mode with an empty project; what fails is stopped at once."""
    async with DnsServer(ZONE) as dns:
        env = {
            "OUTRIDER_NET__DNS_SERVER": dns.address,
            "OUTRIDER_SMTP_PORT": str(sink.port),
            "OUTRIDER_ALLOW_PRIVATE_MX": "1",
            "OUTRIDER_NET__EHLO_NAME": "out.us.example",
            "OUTRIDER_NET__SOURCE": "127.0.0.1",
            "OUTRIDER_IDENTITY__GRACE_S": "0",
        }
        async with Program(shared_folder / "domains", delivery="direct", env=env) as made:
            await made.serve()
            await made.ready()
            made.key = msgspec.convert(await made.command_json("init"), Key)
            made.sender = f"orders@{NAME}"
            yield made


async def publish(program: Program) -> None:
    """Copy what `domain dns` prints into the zone."""
    for record in await program.command_json("domain", "dns", NAME):
        old = ZONE.get(record["host"], Node())
        match record["type"]:
            case "TXT":
                ZONE[record["host"]] = msgspec.structs.replace(old, txt=(record["value"],))
            case "MX":
                preference, host = record["value"].split()
                ZONE[record["host"]] = msgspec.structs.replace(old, mx=((int(preference), host),))
            case kind:
                raise AssertionError(kind)


async def delivered(program: Program, answer: Any) -> None:
    """Return when the mail has been delivered."""

    async def look() -> Any:
        (row,) = (await program.session(answer["SessionNo"]))["Data"]
        return row if row["Status"] == "delivered" else None

    await program.until(look)


async def test_a_domain_is_added_published_verified_lost_and_back(program: Program) -> None:
    added = await program.command_json("domain", "add", NAME, "--type", "transactional")
    assert (added["status"], added["state"], added["type"]) == ("unverified", "unverified", "transactional")
    await program.command_json("sender", "add", program.sender)
    assert (await program.send(["ann@partner.example"]))["RetCode"] == 215396, "not before it has passed"

    first = await program.command("domain", "verify", NAME)
    assert (first.code, first.stderr) == (1, "")
    for words in ("✘ failed  unverified, for transactional mail; 0 of", "cause      missing", "to do      Publish the"):
        assert words in first.stdout

    await publish(program)
    passed = await program.command("domain", "verify", NAME)
    assert (passed.code, "✔ passed  verified" in passed.stdout, "✘" in passed.stdout) == (0, True, False), passed.stdout
    assert (await program.command_json("domain", "show", NAME))["domain"]["state"] == "passed"
    await delivered(program, await program.send(["ann@partner.example"]))

    await program.command_json("queue", "pause", "project", "default")
    await program.take_effect()
    waiting = await program.send(["bob@partner.example"])
    assert waiting["RetCode"] == 0
    kept = ZONE.pop(f"_dmarc.{NAME}")
    lost = await program.command("domain", "verify", NAME)
    assert lost.code == 1
    assert "stopped, for transactional mail" in lost.stdout
    assert "new mail is refused, queued mail waits" in lost.stdout

    async def refused() -> Any:
        answer = await program.send(["cat@partner.example"])
        return answer if answer["RetCode"] else None

    answer = await program.until(refused)
    assert (answer["RetCode"], f"{NAME} is stopped" in str(answer)) == (215393, True), answer
    await program.take_effect()  # The stop, in the processes that deliver.
    await program.command_json("queue", "resume", "project", "default")

    async def waits() -> Any:
        told = (await program.command("why", "bob@partner.example")).stdout
        return told if f"wait: {NAME} is stopped" in told else None

    await program.until(waits)
    told = await program.command_json("notice", "list")
    assert [one["kind"] for one in told] == ["domain_stopped", "domain_passed"], "a warning of what is over is none"
    log = (await program.command("events", "--json")).stdout.splitlines()
    kinds = {msgspec.json.decode(line)["kind"] for line in log}
    assert {"domain_passed", "domain_failed", "domain_stopped"} <= kinds

    ZONE[f"_dmarc.{NAME}"] = kept
    assert (await program.command("domain", "verify", NAME)).code == 0
    await delivered(program, waiting)
    assert (await program.command_json("notice", "seen", "--all"))["seen"] == 3
    assert (await program.command("notice", "list")).stdout.startswith("No new notices")


async def test_the_worker_looks_by_itself_and_mails_what_it_finds(program: Program) -> None:
    await program.command_json("notice", "address", "ops@partner.example")
    await program.command_json("domain", "add", "late.example", "--verified")
    async with Store(program.dsn(), StoreSettings(pool_size=1)) as store, store.transaction() as tx:
        await tx.execute("UPDATE domain SET check_due_at = now()")

    async def told() -> Any:
        return [one for one in await program.command_json("notice", "list") if one["mailed_at"]]

    (notice,) = await program.until(told, 60.0)
    assert (notice["kind"], "late.example" in notice["subject"]) == ("domain_failed", True)
    assert (await program.command_json("domain", "show", NAME))["domain"]["state"] == "passed"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("domain", "show", "unknown.example"), 65),
        (("domain", "verify", "unknown.example"), 65),
        (("domain", "remove", NAME), 65),
        (("domain", "set", NAME, "--type", "marketing"), 65),
        (("domain", "add", "x.example", "--return-path", "elsewhere.example.net"), 65),
        (("domain", "add", "x.example", "--type", "spam"), 2),
        (("domain", "set", NAME, "--mta-sts", "always"), 2),
        (("domain", "set", NAME, "--bimi-logo", "http://shop.example/logo.svg"), 65),
        (("domain", "release", NAME), 65),
        (("domain", "release", "unknown.example", "--yes"), 65),
        (("notice", "seen"), 2),
        (("notice", "seen", "x"), 65),
        (("notice", "seen", "00000000-0000-0000-0000-000000000001"), 65),
        (("notice", "address", "nobody"), 65),
    ],
)
async def test_what_cannot_be_done_is_said(program: Program, arguments: tuple[str, ...], code: int) -> None:
    finished = await program.command(*arguments)
    assert (finished.code, finished.stdout, bool(finished.stderr)) == (code, "", True)


async def test_what_was_never_proven_is_changed_and_removed(program: Program) -> None:
    await program.command_json("domain", "add", "try.example")
    changed = await program.command_json(
        "domain", "set", "try.example", "--type", "marketing", "--return-path", "none", "--tracking", "t.try.example"
    )
    assert (changed["type"], changed["return_path"], changed["tracking_host"]) == ("marketing", "", "t.try.example")
    assert await program.command_json("domain", "remove", "try.example") == {"removed": "try.example"}
    listed = await program.command("domain", "list")
    assert (NAME in listed.stdout, "try.example" in listed.stdout) == (True, False)


async def test_a_policy_is_served_for_its_host_and_a_domain_that_is_given_up_has_none(program: Program) -> None:
    changed = await program.command_json("domain", "set", NAME, "--mta-sts", "testing")
    assert changed["mta_sts"] == "testing"
    host = f"mta-sts.bounces.{NAME}"
    shown = await program.command_json("domain", "show", NAME)
    assert "mode: testing" in shown["mta_sts_policy"]
    assert f"https://{host}/.well-known/mta-sts.txt" in (await program.command("domain", "show", NAME)).stdout

    async def served() -> Any:
        answered = await program.request("GET", "/.well-known/mta-sts.txt", headers={"Host": host})
        return answered if answered.status == 200 else None

    answered = await program.until(served, 30.0)
    assert answered.body.decode() == shown["mta_sts_policy"]
    assert (await program.request("GET", "/.well-known/mta-sts.txt")).status == 404
    released = await program.command_json("domain", "release", NAME, "--yes", "--drop")
    assert released["released"] == NAME
    assert NAME not in (await program.command("domain", "list")).stdout

    async def gone() -> Any:
        answered = await program.request("GET", "/.well-known/mta-sts.txt", headers={"Host": host})
        return answered if answered.status == 404 else None

    assert await program.until(gone, 30.0)
    refused = await program.command("send", "--from", f"orders@{NAME}", "--subject", "s", "--text", "t", "a@x.example")
    assert refused.code == 65

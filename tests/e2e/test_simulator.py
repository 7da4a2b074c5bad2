"""The simulator for real: each address through the API, and `outrider show` prints the life that it promises.

In direct mode, where all other mail asks DNS (here a server that knows nothing), in catch mode, where all other mail
goes to the mailbox, and beside a smart host that is away. Late answers come by SMTP to a server of the test.
"""

import asyncio
import contextlib
import json
import os
import signal
import smtplib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from outrider.base.vocab import Fate
from outrider.policy.simulate import BOUNCE_DOMAIN, DEFER, DOMAIN, OUTCOMES, Late, Outcome
from outrider.testing.dns import DnsServer
from outrider.testing.peer import Peer
from outrider.testing.program import SENDER, Program, free_ports
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LATE: Final = {
    Late.BOUNCE: b"Status: 5.1.1",
    Late.COMPLAINT: b"Feedback-Type: abuse",
    Late.AUTO_REPLY: b"Out of office",
    Late.CHALLENGE: b"Please confirm",
    Late.UNSUBSCRIBE: b"Subject: unsubscribe",
}
EXIT_CONFIG: Final = 78
WAIT_S: Final = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answered() -> AsyncIterator[Peer]:
    """Yield the server that gets the late answers."""
    async with Peer() as peer:
        yield peer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(tmp_path_factory: pytest.TempPathFactory, answered: Peer) -> AsyncIterator[Program]:
    """Yield a program in direct mode whose patience is short and whose retries are soon."""
    async with DnsServer({}) as dns:
        env = {
            "OUTRIDER_DNS_SERVER": dns.address,
            "OUTRIDER_NET__EHLO_NAME": "out.shop.example",
            "OUTRIDER_NET__COMMAND_WAIT_S": "1",
            "OUTRIDER_RETRY__GREYLIST_S": "1",
            "OUTRIDER_RETRY__FIRST_S": "1",
            "OUTRIDER_FACES__SIMULATOR_ANSWERS_TO": f"127.0.0.1:{answered.port}",
            "OUTRIDER_FACES__SIMULATOR_ANSWER_AFTER_S": "0.1",
        }
        async with Program(tmp_path_factory.mktemp("sim") / "node", delivery="direct", env=env) as one:
            await one.start()
            yield one


async def shown(program: Program, address: str, *, attempts: int = 1) -> Any:
    """Send a mail there; return what `outrider show` prints once so many attempts are over."""
    answer = await program.send([address])
    assert answer["RetCode"] == 0, answer

    async def look() -> bool:
        (row,) = (await program.session(answer["SessionNo"]))["Data"]
        return bool(row["Attempts"] >= attempts)

    await program.until(look)
    return await program.command_json("show", address)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: str(outcome.name))
async def test_show_prints_the_life_that_an_address_promises(
    program: Program, answered: Peer, outcome: Outcome
) -> None:
    # A sub-domain of its own: what makes one of them wait must not hold up the others.
    local = f"{outcome.name}{'+0.2' if outcome.name == 'slow' else ''}"
    found = await shown(program, f"{local}@{outcome.name}.{DOMAIN}", attempts=2 if outcome.name == DEFER else 1)
    accepted, first, *later = found["events"]
    assert accepted["kind"] == "accepted"
    assert (first["kind"], first["reason"]) == (outcome.fate, outcome.reason), first
    if outcome.fate is not Fate.DEFERRED:
        assert (found["recipient"]["status"], later) == (outcome.fate, [])
    elif outcome.name == DEFER:
        assert [event["kind"] for event in later] == ["delivered"]
    else:
        assert {event["kind"] for event in later} <= {"deferred"}
    if outcome.late is not None:
        mark = LATE[outcome.late]
        await program.until(lambda: has_come(answered, mark))


async def has_come(answered: Peer, mark: bytes) -> bool:
    return any(
        mark in mail.content and mail.sender == "" and mail.recipients[0].endswith(f"@{BOUNCE_DOMAIN}")
        for mail in answered.received
    )


@pytest.mark.parametrize(
    ("address", "kind", "reason", "said"),
    [
        (f"bounce@gmail.{DOMAIN}", "bounced", "recipient.invalid", "The email account that you tried to reach"),
        (f"bounce@yahoo.{DOMAIN}", "bounced", "recipient.invalid", "554 delivery error"),
        (f"tss04@tss.{DOMAIN}", "deferred", "rate.provider", "553 5.7.1 [TSS04]"),
        (f"reply+552-5.2.2-data@a.{DOMAIN}", "deferred", "recipient.full", "552 5.2.2"),
        (f"reply+550-5.1.8-mail@b.{DOMAIN}", "bounced", "sender.invalid", "550 5.1.8"),
        (f"chance+100-550-5.1.1@c.{DOMAIN}", "bounced", "recipient.invalid", "550 5.1.1"),
        (f"nobody@d.{DOMAIN}", "bounced", "recipient.invalid", "No such simulator address: nobody"),
    ],
)
async def test_words_of_providers_and_replies_of_ones_own(
    program: Program, address: str, kind: str, reason: str, said: str
) -> None:
    first = (await shown(program, address))["events"][1]
    assert (first["kind"], first["reason"]) == (kind, reason)
    assert said in first["reply"]
    assert str(first["facts"]["tls"]).startswith("TLSv1.")


@pytest.mark.parametrize("delivery", ["catch", "smarthost"])
async def test_the_simulator_answers_in_every_mode(folder: Path, delivery: str) -> None:
    where = f"smarthost://127.0.0.1:{free_ports(1)[0]}" if delivery == "smarthost" else delivery
    async with Program(folder / "node", delivery=where) as program:
        await program.start()
        answer = await program.send([f"delivered@{DOMAIN}", f"bounce@gmail.{DOMAIN}"])
        rows = (await program.settled(answer["SessionNo"]))["Data"]
    assert sorted(row["Status"] for row in rows) == ["bounced", "delivered"]


async def test_without_its_port_there_is_no_simulator_and_other_mail_goes_on(folder: Path, sink: RunningSink) -> None:
    async with Program(folder / "node", env={"OUTRIDER_SIMULATOR_PORT": str(sink.port)}) as program:
        await program.start()
        answer = await program.send(["user@partner.example"])
        (row,) = (await program.settled(answer["SessionNo"]))["Data"]
        assert row["Status"] == "delivered"
        assert "simulator_not_started" in program.log_tail()


# The command.


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Yield the port of `outrider simulator ARGUMENTS` and its process."""
    child = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("outrider")),
        *("simulator", "--port", "0", "--json", *arguments),
        env={name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(WAIT_S):
            told = json.loads(await child.stdout.readuntil(b"}\n"))
        assert (told["host"], told["domain"]) == ("127.0.0.1", DOMAIN)
        yield told["port"], child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


def talk(port: int, *recipients: str) -> list[str]:
    with smtplib.SMTP("127.0.0.1", port, "us.example", timeout=WAIT_S) as client:
        client.ehlo()
        client.docmd(f"MAIL FROM:<{SENDER}>")
        return [f"{code} {text.decode()}" for code, text in (client.docmd(f"RCPT TO:<{to}>") for to in recipients)]


async def test_the_command_serves_until_it_is_told_to_stop() -> None:
    arguments = ("--profile", "gmail", "--domain", "my.test", "--seed", "1", "--no-tls")
    async with running(*arguments) as (port, child):
        said = await asyncio.to_thread(talk, port, f"bounce@{DOMAIN}", "delivered@my.test", "user@gmail.com")
        assert [line[:9] for line in said] == ["550 5.1.1", "250 2.1.5", "550 5.7.1"]
        assert "double-checking" in said[0]
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await child.wait() == 0


async def test_the_command_sends_late_answers_where_it_is_told() -> None:
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, "us.example", timeout=WAIT_S) as client:
            client.sendmail(SENDER, [f"late-bounce@{DOMAIN}"], "Subject: x\r\n\r\nhello\r\n")

    async with Peer() as peer:
        answers_to = f"127.0.0.1:{peer.port}"
        async with running("--answers-to", answers_to, "--answer-after", "0") as (port, _):
            await asyncio.to_thread(send, port)
            async with asyncio.timeout(WAIT_S):
                while not peer.received:
                    await asyncio.sleep(0)
    assert peer.received[0].recipients == (SENDER,)


async def test_the_list_has_every_address(folder: Path) -> None:
    rows = await Program(folder / "node").command_json("simulator", "--list")
    assert {f"{outcome.name}@" for outcome in OUTCOMES} <= {row["address"] for row in rows}
    shown_ = await Program(folder / "node").command("simulator", "--list")
    assert "gmail, gmx, icloud, outlook, qq, yahoo" in shown_.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--profile", "hotmale"), "outlook"),
        (("--host", "localhost"), "IP address"),
        (("--rate", "fast"), "10/s"),
        (("--answers-to", "there"), "HOST:PORT"),
        (("--host", "192.0.2.1"), "Cannot listen"),
    ],
)
async def test_a_wrong_option_is_named(folder: Path, arguments: tuple[str, ...], word: str) -> None:
    finished = await Program(folder / "node").command("simulator", "--port", "0", *arguments, timeout_s=WAIT_S)
    assert finished.code == EXIT_CONFIG
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr

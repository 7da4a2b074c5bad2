"""The simulator over real sockets, by a client that is not ours: what each address does, and that it ends in order."""

import asyncio
import contextlib
import io
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, TypeVar

import pytest

from outrider.app import SystemClock
from outrider.faces.smtp import late_mail, simulator
from outrider.faces.smtp.simulator import Manner, SimulatorServer, TlsFault
from outrider.knowledge import simulator_words
from outrider.net.settings import NetSettings
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.policy.behaviour import Action, Stage
from outrider.policy.shaping import Rate
from outrider.policy.simulate import DOMAIN, OUTCOMES, Outcome
from outrider.testing.peer import ADDRESS, Peer

HEAD: Final = "Subject: Hello\r\nMessage-ID: <1@shop.example>\r\nList-Unsubscribe: <mailto:u1@shop.example>\r\n\r\n"
MESSAGE: Final = f"{HEAD}Hello.\r\n"
WAIT_S: Final = 10.0
_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def simulated(manner: Manner | None = None, answers_port: int = 0) -> AsyncIterator[SimulatorServer]:
    """Yield a simulator that serves."""
    route = late_mail.to_one(ADDRESS, answers_port) if answers_port else None
    server, parts = simulator.assemble(
        manner or Manner(answer_after_s=0.0),
        simulator_words(),
        route,
        NetSettings(ehlo_name="mx.simulator.outrider.test"),
        clock=SystemClock(),
        random=Random(1),
        log=make_logger(LogSettings(), "smtp", io.StringIO()),
    )
    await server.listen()
    async with asyncio.timeout(3 * WAIT_S), asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part.run())
        yield server
        for part in parts:
            part.stop()


async def ask(server: SimulatorServer, talk: Callable[[smtplib.SMTP], _T], wait_s: float = WAIT_S) -> _T:
    """Let a client talk, away from the loop."""

    def run() -> _T:
        with smtplib.SMTP(ADDRESS, server.port, "us.example", timeout=wait_s) as client:
            return talk(client)

    return await asyncio.to_thread(run)


async def send(server: SimulatorServer, local: str, *, domain: str = DOMAIN, wait_s: float = WAIT_S) -> tuple[str, str]:
    """Send a mail command by command; return where it ended and what was said."""

    def talk(client: smtplib.SMTP) -> tuple[str, str]:
        client.ehlo()
        for stage, line in (
            ("mail", "MAIL FROM:<a@shop.example>"),
            ("rcpt", f"RCPT TO:<{local}@{domain}>"),
            ("data", "DATA"),
        ):
            code, text = client.docmd(line)
            if code >= 400:
                return stage, f"{code} {text.decode()}"
        client.send(f"{MESSAGE}.\r\n")
        code, text = client.getreply()
        return "dot", f"{code} {text.decode()}"

    return await ask(server, talk, wait_s)


@pytest.mark.parametrize(
    "outcome", [o for o in OUTCOMES if o.stage and o.action is Action.REPLY], ids=lambda o: str(o.name)
)
async def test_a_refusal_comes_where_the_table_says(outcome: Outcome) -> None:
    async with simulated() as server:
        stage, reply = await send(server, outcome.name)
        assert stage == outcome.stage
        assert reply[0] in "45"
        again = await send(server, outcome.name)
    assert (again[1][:3] == "250") == (outcome.name == "defer")


@pytest.mark.parametrize("local", ["delivered", "delivered+17", "late-bounce", "slow+0.2", "complaint", "unsubscribe"])
async def test_others_are_taken(local: str) -> None:
    async with simulated() as server:
        assert (await send(server, local))[1].startswith("250 ")


async def test_silence_and_rubbish_are_what_they_say() -> None:
    async with simulated() as server:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await send(server, "drop-after-dot")
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            await send(server, "timeout", wait_s=0.3)
        with pytest.raises((smtplib.SMTPException, ValueError)):
            await send(server, "garbage")
        assert (await send(server, "delivered"))[1].startswith("250 ")


@pytest.mark.parametrize(
    ("local", "domain", "stage", "start"),
    [
        ("reply+421-4.7.28", DOMAIN, "rcpt", "421 4.7.28"),
        ("reply+552-5.2.2-data", DOMAIN, "data", "552 5.2.2"),
        ("reply+451-4.3.0-dot", DOMAIN, "dot", "451 4.3.0"),
        ("reply+550-5.1.8-mail", DOMAIN, "rcpt", "550 5.1.8"),  # This client waits after MAIL.
        ("bounce", f"gmail.{DOMAIN}", "rcpt", "550 5.1.1 The email account"),
        ("bounce", f"yahoo.{DOMAIN}", "dot", "554 delivery error"),
        ("blocked", DOMAIN, "rcpt", "554 5.7.1 Service unavailable; Client host [127.0.0.1]"),
        ("nobody", DOMAIN, "rcpt", "550 5.1.1 No such simulator address: nobody"),
        ("user", "gmail.com", "rcpt", "550 5.7.1 Relaying denied"),
    ],
)
async def test_what_is_said_and_where(local: str, domain: str, stage: str, start: str) -> None:
    async with simulated() as server:
        found, reply = await send(server, local, domain=domain)
    assert found == stage
    assert reply.startswith(start)


async def test_a_client_that_pipelines_is_refused_at_mail() -> None:
    async with simulated() as server:
        reader, writer = await asyncio.open_connection(ADDRESS, server.port)
        await reader.readline()
        writer.write(f"MAIL FROM:<a@b.example>\r\nRCPT TO:<reply+550-5.1.8-mail@{DOMAIN}>\r\nDATA\r\n".encode())
        said = [await reader.readline() for _ in range(3)]
        writer.close()
    assert [line[:3] for line in said] == [b"550", b"503", b"503"]


async def test_a_chance_is_about_what_it_says() -> None:
    async with simulated() as server:

        def talk(client: smtplib.SMTP) -> int:
            client.ehlo()
            client.docmd("MAIL FROM:<a@shop.example>")
            return sum(client.docmd(f"RCPT TO:<chance+30-550-5.1.1@{DOMAIN}>")[0] == 550 for _ in range(400))

        assert 80 < await ask(server, talk) < 160


async def test_a_rate_holds_for_each_client() -> None:
    async with simulated(Manner(rate=Rate(3, 60.0), profile="yahoo")) as server:
        replies = [(await send(server, "delivered"))[1] for _ in range(4)]
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "421"]
    assert "[TSS04]" in replies[3]


@pytest.mark.parametrize("fault", [None, *TlsFault])
async def test_tls_is_as_good_as_was_asked_for(fault: TlsFault | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def talk(client: smtplib.SMTP) -> Any:
        client.ehlo()
        if not client.has_extn("starttls"):
            return "not offered"
        try:
            client.starttls(context=context)
        except (ssl.SSLError, OSError):
            return "failed"
        assert isinstance(client.sock, ssl.SSLSocket)
        der = client.sock.getpeercert(binary_form=True)
        assert der
        return ssl.DER_cert_to_PEM_cert(der)

    async with simulated(Manner(tls=simulator.make_tls(fault))) as server:
        found = await ask(server, talk)
    match fault:
        case TlsFault.NO_STARTTLS:
            assert found == "not offered"
        case TlsFault.HANDSHAKE:
            assert found == "failed"
        case _:
            from cryptography import x509

            ends = x509.load_pem_x509_certificate(found.encode()).not_valid_after_utc
            assert (ends.year == 2021) == (fault is TlsFault.EXPIRED)


@pytest.mark.parametrize(
    ("local", "to", "words"),
    [
        ("late-bounce", "a@shop.example", b"report-type=delivery-status"),
        ("complaint+gmail", "a@shop.example", b"Feedback-Type: abuse"),
        ("auto-reply", "a@shop.example", b"Subject: Out of office: Hello"),
        ("challenge", "a@shop.example", b"Please confirm your message"),
        ("unsubscribe", "u1@shop.example", b"Subject: unsubscribe"),
    ],
)
async def test_a_late_answer_comes_by_smtp(local: str, to: str, words: bytes) -> None:
    async with Peer() as peer, simulated(answers_port=peer.port) as server:
        assert (await send(server, local))[1].startswith("250 ")
        async with asyncio.timeout(WAIT_S):
            await peer.until_idle()
            while not peer.received:
                await asyncio.sleep(0)
        (mail,) = peer.received
    assert (mail.sender, mail.recipients) == ("", (to,))
    assert words in mail.content


async def test_the_null_sender_is_never_answered_and_no_address_is_refused() -> None:
    def talk(client: smtplib.SMTP) -> int:
        client.ehlo()
        assert client.docmd("MAIL FROM:<not an address>")[0] == 501
        client.sendmail("", [f"late-bounce@{DOMAIN}"], MESSAGE)
        client.sendmail("a@shop.example", [f"late-bounce@{DOMAIN}"], MESSAGE)
        return 0

    async with Peer() as peer, simulated(answers_port=peer.port) as server:
        await ask(server, talk)
        async with asyncio.timeout(WAIT_S):
            while not peer.received:
                await asyncio.sleep(0)
    assert [mail.recipients for mail in peer.received] == [("a@shop.example",)]


async def test_too_many_connections_and_recipients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "CONNECTIONS_COUNT_MAX", 1)
    monkeypatch.setattr(simulator, "RECIPIENTS_COUNT_MAX", 2)

    def talk(client: smtplib.SMTP) -> list[int]:
        with socket.create_connection((ADDRESS, server.port), timeout=WAIT_S) as second:
            assert second.recv(100).startswith(b"421 4.3.2 ")
        client.ehlo()
        client.docmd("MAIL FROM:<a@shop.example>")
        return [client.docmd(f"RCPT TO:<delivered+{number}@{DOMAIN}>")[0] for number in range(3)]

    async with simulated() as server:
        assert await ask(server, talk) == [250, 250, 452]


async def test_silence_ends_a_connection_and_a_stop_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "SILENCE_S_MAX", 0.1)
    async with simulated() as server:
        reader, writer = await asyncio.open_connection(ADDRESS, server.port)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
    monkeypatch.undo()
    async with simulated() as server:
        reader, writer = await asyncio.open_connection(ADDRESS, server.port)
        await reader.readline()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_a_taken_port_is_an_error_and_a_missing_family_is_not() -> None:
    async with simulated(Manner(hosts=(ADDRESS,))) as server:
        with pytest.raises(OSError, match="in use"):
            async with simulated(Manner(hosts=(ADDRESS,), port=server.port)):
                pass
    with pytest.raises(OSError, match="assign"):
        async with simulated(Manner(hosts=("192.0.2.1",))):
            pass
    async with simulated(Manner(hosts=(ADDRESS, "192.0.2.1"))) as server:
        assert (await send(server, "delivered"))[0] == "dot"


def test_stages_that_addresses_use_are_listened_to() -> None:
    assert {outcome.stage for outcome in OUTCOMES if outcome.stage} <= simulator._STAGES | {Stage.MAIL}

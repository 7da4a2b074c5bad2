"""The sink as a process: ports, STARTTLS, the control channel, its end."""

import smtplib
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider.testing.sink_client import RunningSink, SinkError

pytestmark = pytest.mark.slow

MESSAGE = "Message-ID: <1@us.example>\r\nSubject: x\r\n\r\nhello\r\n"


def send(port: int, recipient: str, *, secure: Callable[[smtplib.SMTP], object] = lambda _: None) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.ehlo("us.example")
        secure(client)
        client.sendmail("a@us.example", [recipient], MESSAGE)


async def test_it_counts_what_a_real_client_sends_over_tls(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with RunningSink.start(has_tls=True, record=tmp_path / "taken.tsv") as sink:
        send(sink.port, "b@them.example")
        send(sink.port, "c@them.example", secure=lambda client: client.starttls(context=context))
        counts = await sink.wait(messages=2, timeout_s=10)
        assert counts.is_reached
        assert (counts.messages, counts.tls_connections, counts.duplicates) == (2, 1, 0)
        assert await sink.recipients() == {"b@them.example", "c@them.example"}
        assert len((tmp_path / "taken.tsv").read_bytes().splitlines()) == 2
        await sink.reset()
        assert (await sink.counts()).messages == 0
        assert not (await sink.wait(messages=1, timeout_s=0.01)).is_reached


async def test_its_behaviour_can_be_changed_while_it_runs() -> None:
    async with RunningSink.start(rules=["rcpt *@full.example reply 452 4.2.2 full"]) as sink:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(sink.port, "a@full.example")
        await sink.behave()
        send(sink.port, "a@full.example")
        with pytest.raises(SinkError):
            await sink.behave("nonsense")
        assert (await sink.counts()).messages == 1


async def test_it_listens_at_several_loopback_addresses_and_nowhere_else() -> None:
    async with RunningSink.start(hosts=["127.0.0.2", "127.0.0.3"]) as sink:
        for number, host in enumerate(("127.0.0.2", "127.0.0.3")):
            with smtplib.SMTP(host, sink.port, timeout=10) as client:
                client.sendmail("a@us.example", [f"{number}@them.example"], MESSAGE)
        assert (await sink.wait(messages=2, timeout_s=10)).unique_recipients == 2
        with pytest.raises(ConnectionRefusedError):
            send(sink.port, "b@them.example")
    with pytest.raises(SinkError):
        async with RunningSink.start(hosts=["192.0.2.1"]):
            pass

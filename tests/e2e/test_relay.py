"""The relay in the real program: the line that `serve` prints, fields that steer, and who may not."""

import asyncio
import json
import re
import smtplib
import ssl
from typing import Any

import msgspec
import pytest

from outrider.testing.program import HOST, SENDER, Key, Program
from tests.e2e.test_first_mail import caught_by
from tests.e2e.test_relay_clients import run, unverified

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

WAIT_S = 20.0


def talk(
    program: Program, key: Key, to: list[str], head: str, *, sender: str = SENDER, text: str = "Hello"
) -> tuple[int, str]:
    """Hand in one mail; return the reply to it, or the one that refused it."""
    with smtplib.SMTP(HOST, program.ports["SUBMISSION"], timeout=WAIT_S) as client:
        client.starttls(context=unverified())
        try:
            client.login(key.access_key_id, key.access_key_secret)
            client.mail("bounces@elsewhere.example")
            for one in to:
                client.rcpt(one)
            mail = f"From: {sender}\nTo: {', '.join(to)}\nSubject: Relayed\n{head}\n{text}\n"
            code, words = client.data(mail.encode())
        except smtplib.SMTPResponseException as error:
            code, words = error.smtp_code, bytes(error.smtp_error)
    return code, words.decode()


async def hand_in(
    program: Program,
    *to: str,
    head: str = "",
    key: Key | None = None,
    sender: str = SENDER,
    text: str = "Hello",
) -> tuple[int, str]:
    assert program.key is not None
    return await asyncio.to_thread(talk, program, key or program.key, list(to), head, sender=sender, text=text)


async def shown(program: Program, session: str) -> Any:
    answer = await program.request("GET", f"/v1/emails/{session}", key=program.key)
    return answer.json()


def session_of(reply: tuple[int, str]) -> str:
    code, words = reply
    assert code == 250, words
    (found,) = re.findall(r"queued as ([0-9a-f-]{36})", words)
    return str(found)


async def test_the_line_that_serve_prints_works_as_pasted(caught: Program) -> None:
    (line,) = re.findall(r'python3 -c ".*?"\n\n', caught.log_path.read_text(), re.DOTALL)
    await run("bash", "-euc", line)

    async def look() -> Any:
        return [one for one in caught_by(caught, "customer@partner.example") if b"Subject: By SMTP\r\n" in one]

    (octets,) = await caught.until(look)
    assert octets.endswith(b"\r\n\r\nThank you for your order.\r\n")


async def test_what_the_header_says_is_kept_with_the_mail(caught: Program) -> None:
    head = 'X-Outrider-Tags: bill, paid\nX-Outrider-Metadata: {"order": 1042}\n'
    head += "X-Outrider-Campaign: winter\nX-PM-Tag: old\n"
    session = session_of(await hand_in(caught, "ann@relayed.example", "bob@relayed.example", head=head))
    await caught.settled(session)
    found = await shown(caught, session)
    assert (found["tags"], found["metadata"], found["campaign"]) == (
        ["bill", "paid", "old"],
        {"order": "1042"},
        "winter",
    )
    assert [one["status"] for one in found["recipients"]] == ["delivered", "delivered"]
    lines = (await caught.command("events", "--json")).stdout.splitlines()
    (event,) = [one for one in map(json.loads, lines) if one["message_id"] == session and one["kind"] == "accepted"]
    assert (event["facts"]["door"], event["facts"]["envelope_sender"]) == ("smtp", "bounces@elsewhere.example")


async def test_a_repeat_gets_the_first_250_and_sends_nothing(caught: Program) -> None:
    key = "X-Outrider-Idempotency-Key: order-1042\n"
    first = await hand_in(caught, "once@relayed.example", head=key)
    again = await hand_in(caught, "once@relayed.example", head=key + "X-Boundary: another\n")
    assert again == first
    await caught.settled(session_of(first))
    assert len(caught_by(caught, "once@relayed.example")) == 1
    code, words = await hand_in(caught, "other@relayed.example", head=key)
    assert (code, words.startswith("5.6.0 X-Outrider-Idempotency-Key: ")) == (550, True)


async def test_a_template_in_place_of_the_body(caught: Program) -> None:
    fields = {
        "Name": "relayed",
        "Subject": "Hi {name}",
        "TriggerType": 1,
        "Editor": 1,
        "HtmlContent": "<p>Dear {name}</p>",
    }
    answer = await caught.request("POST", "/api/v1/email/EmailTemplate", fields, key=caught.key)
    template = answer.json()["TemplateId"]
    head = f'X-Outrider-Template: {template}\nX-Outrider-Variables: {{"name": "Ann"}}\n'
    session = session_of(await hand_in(caught, "ann@templated.example", head=head))
    await caught.settled(session)
    (octets,) = caught_by(caught, "ann@templated.example")
    assert b"Dear Ann" in octets
    assert b"\r\nHello\r\n" not in octets
    code, words = await hand_in(caught, "ann@templated.example", head=head.replace('"name"', '"nam"'))
    assert code == 550
    assert "name" in words


async def test_who_may_not_is_told_why(caught: Program) -> None:
    code, words = await hand_in(caught, "ann@relayed.example", sender="boss@bank.example")
    assert (code, words.startswith("5.7.1 From: That sender is not configured")) == (550, True)
    both = f"{SENDER}, boss@bank.example"
    assert (await hand_in(caught, "ann@relayed.example", sender=both))[0] == 550
    code, words = await hand_in(caught, "ann@relayed.example", head="Sender: boss@bank.example\n")
    assert (code, words.startswith("5.7.1 From or Sender: boss@bank.example: That sender is not")) == (550, True)
    assert (await hand_in(caught, "ann@relayed.example", head=f"Sender: {SENDER}\n"))[0] == 250
    assert caught.key is not None
    wrong = Key(caught.key.access_key_id, "wrong")
    assert (await hand_in(caught, "ann@relayed.example", key=wrong))[0] == 535
    reader = msgspec.convert(await caught.command_json("key", "create", "--scope", "read"), Key)
    code, words = await hand_in(caught, "ann@relayed.example", key=reader)
    assert (code, "scope 'send'" in words) == (535, True)


async def test_suppressed_recipients_are_named_at_the_end(caught: Program) -> None:
    await caught.command("suppression", "add", "gone@relayed.example")
    code, words = await hand_in(caught, "gone@relayed.example")
    assert (code, words[:6]) == (550, "5.1.1 ")
    code, words = await hand_in(caught, "gone@relayed.example", "here@relayed.example")
    assert (code, "gone@relayed.example (recipient suppressed)" in words) == (250, True)
    await caught.settled(session_of((code, words)))


async def test_tls_from_the_first_octet_and_its_certificate_stays_after_a_restart(caught: Program) -> None:
    def certificate() -> bytes:
        with smtplib.SMTP_SSL(HOST, caught.ports["SUBMISSIONS"], timeout=WAIT_S, context=unverified()) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            return client.sock.getpeercert(binary_form=True) or b""

    found = await asyncio.to_thread(certificate)
    pem = (caught.data_dir / "submission.pem").read_text()
    assert ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :]) == found

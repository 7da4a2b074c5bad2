"""Delivery reports by mail in the real program: asked for by `smtplib`, made by the simulator, found in the mailbox."""

import asyncio
import smtplib
from typing import Any

import pytest

from outrider.mail import dsn, parts
from outrider.testing.program import HOST, SENDER, Program
from tests.e2e.test_first_mail import caught_by
from tests.e2e.test_relay import session_of
from tests.e2e.test_relay_clients import unverified

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

WAIT_S = 20.0


def talk(
    program: Program,
    envid: str,
    return_to: str,
    to: str,
    notify: str,
    *,
    ret: str = "HDRS",
    orcpt: str = "first+2Bhand@old.example",
) -> str:
    """Hand in a mail; return the reply to it."""
    key = program.key
    assert key is not None
    with smtplib.SMTP(HOST, program.ports["SUBMISSION"], timeout=WAIT_S) as client:
        client.starttls(context=unverified())
        client.login(key.access_key_id, key.access_key_secret)
        assert client.mail(return_to, [f"RET={ret}", f"ENVID={envid}"])[0] == 250
        assert client.rcpt(to, [f"NOTIFY={notify}", f"ORCPT=rfc822;{orcpt}"])[0] == 250
        code, words = client.data(f"From: {SENDER}\nTo: {to}\nSubject: Reported\n\nA secret body\n".encode())
        assert code == 250, words
        return words.decode()


@pytest.mark.parametrize(
    ("to", "notify", "action"),
    [("bounce@simulator.outrider.test", "FAILURE", "failed"), ("ann@reported.example", "SUCCESS", "relayed")],
)
async def test_who_asks_is_told(caught: Program, to: str, notify: str, action: str) -> None:
    return_to = f"{action}@shop.example"
    await asyncio.to_thread(talk, caught, f"id-{action}", return_to, to, notify)

    async def look() -> Any:
        return caught_by(caught, return_to)

    (content,) = await caught.until(look)
    (text,) = [part.text() for part in parts.cut(content) if part.kind in dsn.KINDS]
    status = dsn.read(text)
    assert status.envelope_id == f"id-{action}"
    (said,) = status.diagnoses
    assert (said.address, said.original_address, said.action) == (to, "first+hand@old.example", action)
    assert b"Subject: Reported" in content
    assert b"A secret body" not in content


async def test_who_does_not_ask_for_failures_is_not_told_and_what_is_asked_cannot_add_a_line(caught: Program) -> None:
    to, return_to, line = (
        "reply+554-5.6.0@simulator.outrider.test",
        "silent@shop.example",
        "+0D+0AX-Evil:+20yes+0D+0A+0D+0A",
    )

    async def ended(*given: str, **more: str) -> None:
        code = 250, await asyncio.to_thread(talk, caught, *given, **more)
        await caught.settled(session_of(code))

    await ended("id-never", return_to, to, "NEVER")
    await ended("id-delay", return_to, to, "DELAY")
    await ended("id-null", "", to, "FAILURE")  # Taken; nobody is there to be told.
    await ended(f"id{line}", return_to, to, "FAILURE", ret="FULL", orcpt=f"ann@old.example{line}")

    async def look() -> Any:
        return caught_by(caught, return_to)

    (content,) = await caught.until(look)
    (text,) = [part.text() for part in parts.cut(content) if part.kind in dsn.KINDS]
    status = dsn.read(text)
    assert status.envelope_id == "id X-Evil: yes"
    (said,) = status.diagnoses
    assert (said.address, said.original_address, said.action) == (to, "ann@old.example", "failed")
    assert b"A secret body" in content
    assert not any(one.lower().startswith(b"x-evil") for one in content.splitlines())

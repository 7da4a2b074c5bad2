"""Complaints at the fixed address, for real, in a program whose inbound port was somebody else's when it started."""

import asyncio
import re
import smtplib
import socket
from pathlib import Path
from typing import Any

import pytest

from outrider.mail import arf
from outrider.mail.arf import Feedback
from outrider.testing.clock import RealClock
from outrider.testing.program import HOST, Program

pytestmark = pytest.mark.slow

SHARED = "bounces.platform.example"
ANN = "ann@partner.example"


def brought(port: int, content: bytes) -> tuple[int, bytes]:
    """Return what is said to a report at the fixed address."""
    with smtplib.SMTP(HOST, port, "fbl.isp.example", timeout=10) as client:
        client.ehlo()
        client.docmd("MAIL FROM:<fbl@isp.example>")
        assert client.docmd(f"RCPT TO:<feedback@{SHARED}>")[0] == 250
        return client.data(content)


def report_about(original: bytes) -> bytes:
    return arf.build(
        feedback=Feedback(original_rcpt_to="redacted@redacted"),
        sender="fbl@isp.example",
        to=f"feedback@{SHARED}",
        date=RealClock().now(),
        message_id="1@isp.example",
        original=original.replace(ANN.encode(), b"redacted@redacted"),
    )


async def metric(program: Program, line: str) -> bool:
    return line in (await program.request("GET", "/metrics")).body.decode().splitlines()


async def test_a_taken_port_stops_no_sending_and_once_it_is_free_complaints_come_in(folder: Path) -> None:
    env = {"OUTRIDER_INBOUND__BOUNCE_DOMAIN": SHARED}
    async with Program(folder / "node", env=env) as program:
        port = program.ports["INBOUND"]
        with socket.create_server((HOST, port)):
            await program.start()
            answer = await program.send([ANN])
            assert (await program.settled(answer["SessionNo"]))["Data"][0]["Status"] == "delivered"
            await program.until(lambda: metric(program, 'outrider_smtp_listening{face="inbound"} 0.0'))
            log = program.log_path.read_text()
            assert "port_not_listening" in log
            assert "OUTRIDER_INBOUND_PORT" in log
            assert "role_died" not in log
        await program.until(lambda: metric(program, 'outrider_smtp_listening{face="inbound"} 1.0'))

        for face in ("catch", "simulator"):
            assert await metric(program, f'outrider_smtp_listening{{face="{face}"}} 1.0')
        assert (await program.command_json("domain", "bounces"))["feedback_address"] == f"feedback@{SHARED}"
        original = caught_mail(program)
        token = re.search(rb"^Return-Path: <(bounce-\w+)@", original, re.MULTILINE)
        assert token is not None
        nobody = original.replace(token[1], b"bounce-" + b"0" * 48)
        assert (await asyncio.to_thread(brought, port, report_about(nobody)))[0] == 550
        code, said = await asyncio.to_thread(brought, port, report_about(original))
        assert (code, said) == (250, b"2.0.0 Kept")

        async def complained() -> Any:
            found = await program.command_json("show", ANN)
            return [event for event in found["events"] if event["kind"] == "complained"]

        (event,) = await program.until(complained)
        assert (event["reason"], event["facts"]["suppressed"]) == ("complaint", "stream")
        assert await metric(program, 'outrider_feedback_refused_total{reason="forged"} 1.0')
        assert token[1].decode() not in program.log_path.read_text()


def caught_mail(program: Program) -> bytes:
    """Return the one mail in the mailbox, as it is."""
    (found,) = program.data_dir.glob("mailbox/new/*")
    return found.read_bytes()

"""Fault: the smtp role, and the database a moment later, are killed while a program hands in mail by SMTP.

What must hold: each mail that was answered 250 reaches the sink and is delivered, what was not answered may or may not;
while the database is away the answer is a 4xx and never a 250; and the relay comes back by itself.
"""

import asyncio
import contextlib
import shutil
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider.testing.postgres import make_folder
from outrider.testing.program import HOST, SENDER, Program
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BEFORE_KILL_COUNT = 25
IN_ALL_COUNT = 120


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


class Sender:
    """Hands in one mail after the other, dials again whenever it must, and keeps count."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._client: smtplib.SMTP | None = None
        self.taken: set[str] = set()
        self.codes: list[int] = []

    def send(self, number: int) -> bool:
        """Return whether it was answered 250."""
        to = f"u{number}@partner.example"
        try:
            self._dial().sendmail(SENDER, [to], f"From: {SENDER}\r\nTo: {to}\r\nSubject: {number}\r\n\r\nx\r\n")
        except smtplib.SMTPResponseException as error:
            self.codes.append(error.smtp_code)
            self.close()  # It may have been the login.
        except smtplib.SMTPRecipientsRefused as error:
            self.codes += [code for code, _ in error.recipients.values()]
        except (OSError, smtplib.SMTPException):
            self.close()
        else:
            self.taken.add(to)
            return True
        return False

    def _dial(self) -> smtplib.SMTP:
        if self._client is None:
            self._client = client = smtplib.SMTP(HOST, self._program.ports["SUBMISSION"], timeout=10)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=context)
            assert self._program.key is not None
            client.login(self._program.key.access_key_id, self._program.key.access_key_secret)
        return self._client

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
        self._client = None


async def test_every_250_is_delivered(folder: Path) -> None:
    async with (
        RunningSink.start(lifetime_s=110.0) as sink,
        Program(folder / "node", delivery=f"smarthost://127.0.0.1:{sink.port}") as program,
    ):
        await program.start()
        sender = Sender(program)
        number = 0

        async def until_taken(count: int) -> None:
            nonlocal number

            async def try_one() -> Any:
                nonlocal number
                number += 1
                await asyncio.to_thread(sender.send, number)
                return len(sender.taken) >= count

            await program.until(try_one, 40.0)

        await until_taken(BEFORE_KILL_COUNT)
        for role in ("smtp", "postgres"):
            for pid in [pid for pid, name in program.processes().items() if name == role]:
                with contextlib.suppress(ProcessLookupError):
                    await program.kill(pid)
            await until_taken(len(sender.taken) + BEFORE_KILL_COUNT)
        await until_taken(IN_ALL_COUNT)
        assert all(400 <= code < 500 for code in sender.codes), sender.codes

        async def all_there() -> Any:
            return sender.taken <= await sink.recipients()

        await program.until(all_there, 40.0)
        sender.close()

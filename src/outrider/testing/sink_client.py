"""A sink as a process of its own, seen from a test or a benchmark.

    async with RunningSink.start(has_tls=True) as sink:
        ...                                     # deliver to 127.0.0.1:sink.port
        counts = await sink.wait(messages=1000, timeout_s=30)

`wait` returns when the sink has that many, or when the time is up (`is_reached` says which): nobody polls.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from outrider.testing.sink import HOST, Ports
from outrider.testing.tally import Counts

_START_S: Final = 15.0  # Ours: imports on a busy machine.
_STOP_S: Final = 5.0
_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # Ours: the recipients of a million mails.


class SinkError(Exception):
    """The sink did not start, or did not understand."""


class RunningSink:
    """A live sink process. Made by `start`."""

    def __init__(self, child: asyncio.subprocess.Process, ports: Ports) -> None:
        self._child: Final = child
        self.pid: Final = child.pid
        self.port: Final = ports.port
        self._control_port: Final = ports.control_port

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        *,
        hosts: Sequence[str] = (HOST,),
        port: int = 0,
        has_tls: bool = False,
        record: Path | None = None,
        rules: Sequence[str] = (),
        seed: int = 1,
        lifetime_s: float = 900.0,
    ) -> AsyncIterator[Self]:
        """Start a sink, and stop it at the end of the block.

        Raises:
            SinkError: it ended before it was ready.
        """
        arguments = ["--port", str(port), "--seed", str(seed), "--lifetime", str(lifetime_s)]
        for host in hosts:
            arguments += ["--host", host]
        arguments += ["--tls"] * has_tls
        arguments += ["--record", str(record)] if record else []
        for rule in rules:
            arguments += ["--behaviour", rule]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "outrider.testing.sink", *arguments, stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            async with asyncio.timeout(_START_S):
                line = await child.stdout.readline()
            if not line:
                raise SinkError("the sink ended before it was ready; its complaint is on stderr")
            yield cls(child, msgspec.json.decode(line, type=Ports))
        finally:
            await _end(child)

    async def counts(self) -> Counts:
        """Return what came so far."""
        return await self._ask_counts({"ask": "counts"}, 30.0)

    async def wait(self, *, messages: int = 0, unique: int = 0, timeout_s: float) -> Counts:
        """Return when that many messages (or distinct recipients) have come, or the time is up."""
        request = {"ask": "wait", "messages": messages, "unique": unique, "timeout_s": timeout_s}
        return await self._ask_counts(request, timeout_s + 30.0)

    async def recipients(self) -> set[str]:
        """Return every distinct recipient of a message taken."""
        return await self._ask_recipients("recipients")

    async def repeated(self) -> set[str]:
        """Return the recipients who were handed a message twice or more."""
        return await self._ask_recipients("repeated")

    async def reset(self) -> None:
        """Let it forget what came."""
        await self._ask_counts({"ask": "reset"}, 30.0)

    async def behave(self, *rules: str) -> None:
        """Replace its rules; none: behave from now on."""
        await self._ask_counts({"ask": "behave", "rules": rules}, 30.0)

    async def _ask_recipients(self, ask: str) -> set[str]:
        answer = msgspec.json.decode(await self._ask({"ask": ask}, 30.0), type=dict[str, list[str]])
        return set(answer["recipients"])

    async def _ask_counts(self, request: object, timeout_s: float) -> Counts:
        return msgspec.json.decode(await self._ask(request, timeout_s), type=Counts)

    async def _ask(self, request: object, timeout_s: float) -> bytes:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(HOST, self._control_port, limit=_ANSWER_BYTES_MAX)
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
        if not line or line.startswith(b'{"error"'):
            raise SinkError(line.decode() or "the sink went away")
        return line


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

"""A load generator as a process of its own, seen from a test or a benchmark.

Inside `async with running_load(settings) as load:` the generator works; `load.report()` returns when all calls are
answered, `load.stop()` asks for no more of them. Leaving the block kills what still runs.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from outrider.testing.load import LoadReport, LoadSettings

_END_S: Final = 30.0  # Ours: to answer what is under way.


class AcceptedCall(msgspec.Struct, frozen=True):
    """One line of the file of accepted calls."""

    first: int  # Number of its first recipient.
    count: int
    session_no: str


class RunningLoad:
    """A live generator. Made by `running_load`."""

    def __init__(self, child: asyncio.subprocess.Process, settings: LoadSettings) -> None:
        self._child: Final = child
        self._settings: Final = settings
        self.pid: Final = child.pid

    async def report(self) -> LoadReport:
        """Return the result once all calls are answered; at the latest when its lifetime is over."""
        assert self._child.stdout is not None
        async with asyncio.timeout(self._settings.lifetime_s + _END_S):
            line = await self._child.stdout.read()
            await self._child.wait()
        return msgspec.json.decode(line, type=LoadReport)

    async def stop(self) -> LoadReport:
        """Ask it to make no more calls; return the result when those under way are answered."""
        self._child.terminate()
        return await self.report()


@contextlib.asynccontextmanager
async def running_load(settings: LoadSettings) -> AsyncIterator[RunningLoad]:
    """Start a generator; at the end of the block it is killed if it still runs."""
    arguments = ["--url", settings.url, "--key", settings.key, "--sender", settings.sender]
    arguments += ["--count", str(settings.count), "--per-call", str(settings.per_call)]
    arguments += ["--connections", str(settings.connections), "--body", settings.body, "--first", str(settings.first)]
    arguments += ["--routes", str(settings.routes)]
    arguments += ["--rate", str(settings.rate), "--patience", str(settings.patience_s)]
    arguments += ["--lifetime", str(settings.lifetime_s)]
    arguments += ["--same-content"] * settings.has_same_content
    arguments += ["--template", settings.template] if settings.template else []
    arguments += ["--accepted", str(settings.accepted)] if settings.accepted else []
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "outrider.testing.load", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield RunningLoad(child, settings)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def read_accepted(path: Path) -> list[AcceptedCall]:
    """Return the calls answered RetCode 0 so far."""
    if not path.exists():
        return []
    calls: list[AcceptedCall] = []
    for line in path.read_text("utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # The last one may be half written.
            first, count, session_no = line.rstrip("\n").split("\t")
            calls.append(AcceptedCall(int(first), int(count), session_no))
    return calls

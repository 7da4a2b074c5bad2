"""One child of `outrider serve`: `python -m outrider.cli.role ROLE SLOT`. Not for people.

It runs one role until it gets SIGTERM or its parent is gone (end of file on the pipe OUTRIDER_PARENT_FD); SIGINT is the
parent's business. Imports little, so that seven processes stay small.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from outrider import app
from outrider.app import Context
from outrider.base.errors import OutriderError
from outrider.config import load
from outrider.obs.log import make_logger

PARENT_FD: Final = "OUTRIDER_PARENT_FD"
EXIT_FAILED: Final = 1
# Ours: the default looks for cycles every few mails, which took 4 to 7 % of a deliver process (2026-11).
_GC_THRESHOLDS: Final = (10_000, 20, 50)


def main(role: str, slot: int) -> int:
    """Run the role; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = load(os.environ)
    log = make_logger(config.log, role).bind(slot=slot)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(role, slot, app.make_context(config, config.database_url, log)))
    except OutriderError as error:
        log.exception("role_failed", error=error.public, **error.detail)
        return EXIT_FAILED
    except BaseExceptionGroup:
        log.exception("role_failed")
        return EXIT_FAILED
    return 0


async def _run(role: str, slot: int, context: Context) -> None:
    stop_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop_asked.set)
    parent = int(os.environ[PARENT_FD])
    loop.add_reader(parent, _on_parent, parent, stop_asked)
    roles: dict[str, Callable[[], Awaitable[None]]] = {
        "web": lambda: _run_web(context, stop_asked),
        "smtp": lambda: app.run_smtp(context, stop_asked),
        "deliver": lambda: app.run_deliver(context, slot, stop_asked),
        "worker": lambda: app.run_worker(context, stop_asked),
    }
    gc.freeze()  # What was imported stays.
    gc.set_threshold(*_GC_THRESHOLDS)
    context.log.info("role_started", pid=os.getpid())
    await roles[role]()
    loop.remove_reader(parent)
    context.log.info("role_stopped")


async def _run_web(context: Context, stop_asked: asyncio.Event) -> None:
    from outrider import web_role  # Only this role needs Litestar (40 MB).

    await web_role.run_web(context, stop_asked)


def _on_parent(parent: int, stop_asked: asyncio.Event) -> None:
    """The parent never writes: something to read means that it is gone."""
    asyncio.get_running_loop().remove_reader(parent)
    stop_asked.set()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))

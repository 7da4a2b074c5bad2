"""A web server that does nothing but HTTP: what an accepted call is measured against.

    python -m bench.bare PORT

One process of it listens as one of Outrider's does, with the same server (granian, embedded in uvloop) and Litestar;
its one endpoint is a typed handler, which takes a SendEmail call with its body and answers as if it had been accepted.
"""

import asyncio
import contextlib
import gc
import socket
import sys
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import litestar
import uvloop

from bench.lines import Line
from bench.rig import MEASURED_FIRST, Case
from outrider.faces.api.dialects.uspeedo_types import SendEmailAnswer, SendEmailBody
from outrider.faces.api.server import HttpServer
from outrider.testing import usage
from outrider.testing.clock import until
from outrider.testing.load import PATH, LoadReport, LoadSettings
from outrider.testing.load_client import running_load
from outrider.testing.program import HOST, SENDER, free_ports

PROCESSES: Final = 2  # As [faces] web_workers.
_START_S: Final = 30.0
_WARM_CALLS: Final = 500
_NO_KEY: Final = "nobody:nothing"
_GC_THRESHOLDS: Final = (10_000, 20, 50)  # As a role's (`cli.role`).


async def measure(case: Case) -> Line:
    """Make as many calls as the case has, from the same load generator."""
    (port,) = free_ports(1)
    calls = case.count // case.per_call
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_running(port)) for _ in range(PROCESSES)]
        await until(lambda: _is_listening(port), _START_S)
        await _load(case, port, calls=_WARM_CALLS, first=0)
        before_s = sum(usage.measure_one(pid).cpu_s for pid in servers)
        load = await _load(case, port, calls=calls, first=MEASURED_FIRST)
        web_s = sum(usage.measure_one(pid).cpu_s for pid in servers) - before_s
    if load.accepted != case.count:
        raise RuntimeError(f"not all was answered: {load}")
    return Line(
        name=f"accept_only bare {case.name}",
        n=calls,
        unit="call",
        rate=round(calls / (load.last_at_s - load.first_at_s), 1),
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        cpu_us={"web": round(web_s / calls * 1e6, 1), "load": round(load.cpu_s / calls * 1e6, 1)},
    )


async def _load(case: Case, port: int, *, calls: int, first: int) -> LoadReport:
    settings = LoadSettings(
        url=f"http://{HOST}:{port}",
        key=_NO_KEY,
        sender=SENDER,
        count=calls * case.per_call,
        per_call=case.per_call,
        connections=case.connections,
        body=case.body,
        first=first,
        lifetime_s=case.deadline_s,
    )
    async with running_load(settings) as load:
        return await load.report()


@contextlib.asynccontextmanager
async def _running(port: int) -> AsyncIterator[int]:
    """Yield the process id of one server; it is killed when the block ends."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port))
    try:
        yield child.pid
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def _is_listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0


@litestar.post(PATH, status_code=200)
async def _send_email(data: SendEmailBody) -> SendEmailAnswer:  # tidy: words Litestar's own name of the body
    return SendEmailAnswer(
        ret_code=0,
        message="success",
        session_no=str(uuid4()),
        failed_target_emails=(),
        request_uuid=str(uuid4()),
        success_count=len(data.target_email_address),
        fail_content=(),
    )


async def _serve(port: int) -> None:
    app = litestar.Litestar(route_handlers=[_send_email], openapi_config=None, logging_config=None)
    server = HttpServer(app, HOST, port)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    await server.run()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))

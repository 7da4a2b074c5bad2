"""What does the web face cost a call, the engine left out? /v1/emails, uSpeedo's SendEmail and Litestar with nothing.

One process, no socket: each call is an ASGI scope and a body of 3 KB that an engine takes which does nothing. The bare
endpoint decodes the same JSON into the same record and answers with the same one, as Litestar's own typed handlers do.
"""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from time import process_time
from typing import Any, Final
from uuid import UUID, uuid4

import litestar
import msgspec

from bench.lines import Line
from outrider.faces.api.app import make_app
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.message_types import MessageAccepted, NewMessage
from outrider.obs.log import make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.testing.engine import SESSION_ID, KeyRing, RecordingEngine
from outrider.testing.load import make_content

_PAIR: Final = ("0123456789abcdef0123456789abcdef", "NGY2YjY0ZWEtOWU1ZC00ZjJiLTg0YzYtMDFhN2M5ZDU1YjE5")
_TO: Final = "user@partner.example"


class _Engine(RecordingEngine):
    """Keeps nothing: what it takes is not what is measured."""

    async def __call__(self, *arguments: Any, **more: Any) -> Any:
        answer = await super().__call__(*arguments, **more)
        for kept in (self.calls, self.hashes, self.domains):
            kept.clear()
        return answer


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Make the calls, in turns."""
    count = 2_000 if is_quick else 30_000
    calls = dict(_calls())
    spent = dict.fromkeys(calls, 0.0)
    for _ in range(3):
        for name, (app, method_path, headers, body) in calls.items():
            spent[name] += await _run(app, method_path, headers, body, count // 3)
    bare_us = spent["litestar bare"] / count * 1e6
    for name, cpu_s in spent.items():
        cpu_us = cpu_s / count * 1e6
        facts = {"to_bare_ratio": round(cpu_us / bare_us, 2)}
        yield Line(
            name=f"api_call {name}",
            n=count,
            unit="call",
            rate=round(count / cpu_s, 1),
            cpu_us={"web": round(cpu_us, 1)},
            facts=facts,
        )


def _calls() -> Iterator[tuple[str, tuple[Any, str, Mapping[str, str], bytes]]]:
    content = make_content("3k")
    basic = base64.b64encode(":".join(_PAIR).encode()).decode()
    app = make_app(_ports())
    native = {"from": "noreply@shop.example", "to": _TO, "subject": "Your Order", "html": content}
    dialect = {"SendEmail": native["from"], "TargetEmailAddress": [_TO], "Subject": "Your Order", "Content": content}
    bearer = {"authorization": f"Bearer {'.'.join(_PAIR)}"}
    yield "v1", (app, "/v1/emails", bearer, msgspec.json.encode(native))
    yield "v1 keyed", (app, "/v1/emails", {**bearer, "idempotency-key": "order-12345"}, msgspec.json.encode(native))
    uspeedo = {"authorization": f"Basic {basic}"}
    yield "uspeedo", (app, "/api/v1/email/SendEmail", uspeedo, msgspec.json.encode(dialect))
    yield "litestar bare", (_bare(), "/bare", bearer, msgspec.json.encode(native))


def _bare() -> litestar.Litestar:
    @litestar.post("/bare", status_code=202)
    async def send(data: NewMessage) -> MessageAccepted:  # tidy: words Litestar's own name of the body
        return MessageAccepted(id=SESSION_ID, accepted_count=len(data.to))

    return litestar.Litestar(route_handlers=[send], openapi_config=None, logging_config=None)


def _ports() -> Ports:
    engine, keys = _Engine(), KeyRing({_PAIR: UUID(int=7)})

    async def authenticate(credentials: Any) -> Any:
        keys.shown.clear()
        keys.spent.clear()
        return await keys(credentials)

    async def is_ready() -> bool:
        return True

    given: dict[str, Any] = {
        "accept": engine,
        "authenticate": authenticate,
        "spend": keys.spend,
        "is_ready": is_ready,
        "new_request_id": uuid4,
        "log": make_logger(LogSettings(level="warning"), "bench"),
        "metrics": Metrics(),
    }
    others = {field.name for field in msgspec.structs.fields(Ports) if field.required} - given.keys()
    return Ports(**dict.fromkeys(others, _unused), **given)


def _unused(*_: Any, **__: Any) -> Any:
    """Stand for what none of these calls asks."""
    raise AssertionError("nobody calls this")


async def _run(app: Any, path: str, headers: Mapping[str, str], body: bytes, count: int) -> float:
    """Make `count` calls one after the other; return the CPU seconds they took."""
    given = {"host": "127.0.0.1:8025", "content-type": "application/json", "content-length": str(len(body))}
    raw = [(name.encode(), value.encode()) for name, value in (given | dict(headers)).items()]
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    def scope() -> dict[str, Any]:
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": list(raw),
            "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 8025), "state": {},
        }  # fmt: skip

    for _ in range(200):
        await app(scope(), receive, send)
    started_s = process_time()
    for _ in range(count):
        await app(scope(), receive, send)
    elapsed_s = process_time() - started_s
    assert set(statuses) <= {200, 202}, set(statuses)
    return elapsed_s

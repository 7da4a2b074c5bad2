r"""A cheap load generator for the email API: what it costs must not be what it measures.

    python -m outrider.testing.load --url http://127.0.0.1:8025 --key ID:SECRET --sender a@shop.example \
        --count 100000 --per-call 100 --connections 8 --body 3k

Every request is rendered beforehand; only the numbered recipients (`u00000042@route2.example`, `--routes` domains in
turn) and the order number in the content are new, all of fixed width, so lengths never change. Keep-alive connections,
one request at a time on each. Prints one JSON line, a `LoadReport`, when all calls are answered, on SIGTERM, or after
`--lifetime` seconds. `--same-content` leaves the order number out: then content is stored once for all calls.
`--template ID` sends that template (`template_content`) instead, with five variables of each recipient's own.

A call whose connection broke is *lost*: nobody knows whether it was accepted; its numbers are never used again, and
the connection is made anew, for as long as `--patience` allows without any success. `--accepted FILE` appends a line
for each call answered RetCode 0: number of its first recipient, how many, the session; what a fault test then
demands of the sink. Instants are `time.perf_counter`, one clock for all processes of a Linux machine.
"""

import argparse
import asyncio
import base64
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

ROUTES_COUNT: Final = 10  # Recipient domains: route0.example to route9.example; of 1,000, route000 to route999.
PATH: Final = "/api/v1/email/SendEmail"
TEMPLATE_PATH: Final = "/api/v1/email/SendEmailTemplate"
LIFETIME_S: Final = 600.0  # Ours: the generator ends by itself.
BODIES: Final = ("tiny", "3k", "100k")
_RECONNECT_S: Final = 0.05
_NUMBER_MARK: Final = "#00000000"
_HEAD: Final = re.compile(rb"HTTP/1\.1 (\d{3})[^\r]*\r\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    url: str
    key: str  # "id:secret"
    sender: str
    count: int  # Recipients in all; a multiple of `per_call`.
    per_call: int = 100
    connections: int = 8
    body: str = "3k"
    first: int = 0  # The number of the first recipient.
    routes: int = ROUTES_COUNT
    has_same_content: bool = False
    template: str = ""  # The id of one made of `template_content`; "": the content is in each call.
    rate: float = 0.0  # Recipients a second at most; 0: as fast as they are taken.
    accepted: Path | None = None
    patience_s: float = 20.0
    lifetime_s: float = LIFETIME_S


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    calls: int
    accepted: int  # Recipients of calls answered RetCode 0, failed ones taken off.
    lost_calls: int
    failed_targets: int
    ret_codes: dict[str, int]  # Only those that are not 0.
    statuses: dict[str, int]
    first_at_s: float  # perf_counter
    last_at_s: float
    rate: float  # Accepted recipients a second.
    p50_ms: float  # Of a call.
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float  # Of the calls, without its own start.
    error: str = ""  # Why it gave up, if it did.


class Answer(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of the API's answer that is read."""

    ret_code: int
    session_no: str | None = None
    failed_target_emails: list[dict[str, str]] = []


class Load:
    """The run: numbers given out, answers counted."""

    def __init__(self, settings: LoadSettings) -> None:
        assert settings.count % settings.per_call == 0
        self.settings: Final = settings
        self.done: Final = asyncio.Event()
        self.error = ""
        self.statuses: Final[Counter[str]] = Counter()
        self.ret_codes: Final[Counter[str]] = Counter()
        self.latencies_s: Final[list[float]] = []
        self.accepted = 0
        self.failed_targets = 0
        self.lost_calls = 0
        self.first_at_s = 0.0
        self.last_at_s = 0.0
        self.is_stopping = False
        self._next = settings.first
        self._end = settings.first + settings.count
        self._open_callers = settings.connections
        self._success_at_s = perf_counter()
        self._parts: Final = render(settings)
        self._decode: Final = msgspec.json.Decoder(Answer).decode
        self._cpu_before_s: Final = _cpu_s()  # For imports and the like.
        self._file: Final = settings.accepted.open("ab", buffering=0) if settings.accepted else None

    def next_request(self) -> tuple[int, bytes] | None:
        """Return the next call and the number of its first recipient; None: there is none left."""
        if self.is_stopping or self._next >= self._end:
            return None
        first = self._next
        self._next = first + self.settings.per_call
        head, middle, tail = self._parts
        if self.settings.template:
            targets = ",".join([target(number, self.settings.routes) for number in range(first, self._next)])
            return first, b"".join((head, targets.encode(), tail))
        addresses = '","'.join([recipient(number, self.settings.routes) for number in range(first, self._next)])
        return first, b"".join((head, addresses.encode(), middle, b"%08d" % first, tail))

    def wait_s(self) -> float:
        """Return how long the next call must wait to stay under the rate."""
        if not self.settings.rate or not self.first_at_s:
            return 0.0
        due_at_s = self.first_at_s + (self._next - self.settings.first) / self.settings.rate
        return max(0.0, due_at_s - perf_counter())

    def settle(self, first: int, status: bytes, body: bytes, asked_at_s: float) -> None:
        """Count an answer."""
        now = perf_counter()
        self.last_at_s = self._success_at_s = now
        self.latencies_s.append(now - asked_at_s)
        if status != b"200":
            self.statuses[status.decode()] += 1
        try:
            answer = self._decode(body)
        except msgspec.DecodeError:
            self.ret_codes["unreadable"] += 1
            return
        if answer.ret_code != 0:
            self.ret_codes[str(answer.ret_code)] += 1
            return
        failed = len(answer.failed_target_emails)
        self.failed_targets += failed
        self.accepted += self.settings.per_call - failed
        if self._file:
            self._file.write(b"%d\t%d\t%b\n" % (first, self.settings.per_call, (answer.session_no or "").encode()))

    def lose(self, *, was_asked: bool) -> bool:
        """Count a broken connection; False: patience is over."""
        self.lost_calls += was_asked
        if perf_counter() - self._success_at_s > self.settings.patience_s:
            self.error = f"nobody answered for {self.settings.patience_s} s"
            self.done.set()
        return not self.done.is_set()

    def leave(self) -> None:
        """A caller has nothing left to do; the last one ends the run."""
        self._open_callers -= 1
        if not self._open_callers:
            self.done.set()

    def stop(self, error: str = "") -> None:
        """Ask nothing more; the run ends when the calls under way are answered."""
        self.error = self.error or error
        if self.is_stopping:
            self.done.set()  # The second time: now.
        self.is_stopping = True

    def give_up(self, error: str) -> None:
        """End the run now."""
        self.stop(error)
        self.done.set()

    def report(self) -> LoadReport:
        """Close the file of accepted calls and return the result."""
        if self._file:
            self._file.close()
        ordered = sorted(self.latencies_s) or [0.0]
        elapsed_s = self.last_at_s - self.first_at_s
        return LoadReport(
            calls=len(self.latencies_s),
            accepted=self.accepted,
            lost_calls=self.lost_calls,
            failed_targets=self.failed_targets,
            ret_codes=dict(self.ret_codes),
            statuses=dict(self.statuses),
            first_at_s=self.first_at_s,
            last_at_s=self.last_at_s,
            rate=round(self.accepted / elapsed_s, 1) if elapsed_s > 0 else 0.0,
            p50_ms=_share_ms(ordered, 0.50),
            p90_ms=_share_ms(ordered, 0.90),
            p99_ms=_share_ms(ordered, 0.99),
            max_ms=_share_ms(ordered, 1.0),
            cpu_s=round(_cpu_s() - self._cpu_before_s, 3),
            error=self.error,
        )


class Caller(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again."""

    def __init__(self, load: Load, host: str, port: int) -> None:
        self._load: Final = load
        self._address: Final = (host, port)
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._first: int | None = None  # The call under way.
        self._asked_at_s = 0.0
        self._connects: Final = asyncio.Event()

    async def live(self) -> None:
        """Connect, and connect again whenever the connection is lost, until the run is over."""
        loop = asyncio.get_running_loop()
        self._connects.set()
        while True:
            await self._connects.wait()
            self._connects.clear()
            try:
                await loop.create_connection(lambda: self, *self._address)
            except OSError:
                self._retry(was_asked=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own are no subclass of it.
        self._pending = b""
        self._ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The call under way is lost; try again soon."""
        self._transport = None
        was_asked, self._first = self._first is not None, None
        self._retry(was_asked=was_asked)

    def data_received(self, data: bytes) -> None:
        """Collect one answer."""
        pending = self._pending + data if self._pending else data
        end = pending.find(b"\r\n\r\n")
        if end < 0:
            self._pending = pending
            return
        head = _HEAD.match(pending)
        length = _LENGTH.search(pending, 0, end)
        if head is None or length is None:
            self._load.give_up(f"an answer nobody can read: {pending[:200]!r}")
            return
        whole = end + 4 + int(length[1])
        if len(pending) < whole:
            self._pending = pending
            return
        self._pending = pending[whole:]
        first, self._first = self._first, None
        assert first is not None, "the server said something nobody asked for"
        self._load.settle(first, head[1], pending[end + 4 : whole], self._asked_at_s)
        self._ask()

    def _retry(self, *, was_asked: bool) -> None:
        load = self._load
        if load.is_stopping or load.done.is_set():
            load.lost_calls += was_asked
            load.leave()
        elif load.lose(was_asked=was_asked):
            asyncio.get_running_loop().call_later(_RECONNECT_S, self._connects.set)

    def _ask(self) -> None:
        if self._transport is None:
            return  # Lost while it waited for its turn; `connection_lost` has seen to it.
        wait_s = self._load.wait_s()
        if wait_s and not self._load.is_stopping:
            asyncio.get_running_loop().call_later(min(wait_s, 0.2), self._ask)
            return
        request = self._load.next_request()
        if request is None:
            self._load.is_stopping = True
            self._transport.close()
            return
        self._first, content = request
        self._asked_at_s = perf_counter()
        self._load.first_at_s = self._load.first_at_s or self._asked_at_s
        self._transport.write(content)


def recipient(number: int, routes: int = ROUTES_COUNT) -> str:
    """Return the address of that number; all addresses of one run have the same length."""
    return f"u{number:08d}@route{number % routes:0{len(str(routes - 1))}d}.example"


def target(number: int, routes: int = ROUTES_COUNT) -> str:
    """Return an element of EmailContent with what fills in `template_content`; all have the same length."""
    name, variables = f"Customer {number:08d}", (f"order{{##}}#{number:08d}", "item{##}Item 01", "price{##}1.90")
    params = '","'.join((f"name{{##}}{name}", *variables, f"code{{##}}{number:08d}"))
    return f'{{"EmailAddress":"{recipient(number, routes)}","TemplateVariableParams":["{params}"]}}'


def template_content(body: str) -> str:
    """Return `make_content` with five variables in it, as uSpeedo writes them."""
    content = make_content(body).replace(_NUMBER_MARK, "{order}")
    return (
        content.replace("Thank you", "Thank you, {name}", 1)
        .replace("Item 01", "{item}", 1)
        .replace("1.90", "{price}", 1)
        .replace("Questions?", "Your code is {code}. Questions?", 1)
    )


def render(settings: LoadSettings) -> tuple[bytes, bytes, bytes]:
    """Return a request in three parts: up to the recipients, up to the order number, the rest."""
    if settings.template:
        return _render_template(settings)
    content = make_content(settings.body)
    if settings.has_same_content:
        content = content.replace(_NUMBER_MARK, "#same0000")
    fields = {
        "SendEmail": settings.sender,
        "TargetEmailAddress": ["@"],
        "Subject": f"Your order {_NUMBER_MARK}" if settings.has_same_content else "Your Order Confirmation",
        "Content": content,
        "FromName": "Example Shop",
    }
    head, tail = msgspec.json.encode(fields).split(b'"@"')
    middle, tail = tail.split(_NUMBER_MARK.encode(), 1)
    recipients_bytes = settings.per_call * len(f'"{recipient(0, settings.routes)}",') - 1
    length = len(head) + recipients_bytes + len(middle) + len(_NUMBER_MARK) + len(tail)
    return _start(settings, PATH, length) + head + b'"', b'"' + middle + b"#", tail


def _render_template(settings: LoadSettings) -> tuple[bytes, bytes, bytes]:
    fields = {
        "SendEmail": settings.sender,
        "TemplateId": settings.template,
        "Subject": "Your Order Confirmation",
        "EmailContent": ["@"],
        "FromName": "Example Shop",
    }
    head, tail = msgspec.json.encode(fields).split(b'"@"')
    targets_bytes = settings.per_call * len(f"{target(0, settings.routes)},") - 1
    return _start(settings, TEMPLATE_PATH, len(head) + targets_bytes + len(tail)) + head, b"", tail


def _start(settings: LoadSettings, path: str, length: int) -> bytes:
    address = urlsplit(settings.url)
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Basic {base64.b64encode(settings.key.encode()).decode()}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def make_content(body: str) -> str:
    """Return a mail's content with one order number in it: an HTML page of 3 KB, or plain text."""
    match body:
        case "tiny":
            return f"Thank you for your order {_NUMBER_MARK}."
        case "3k":
            row = '<tr><td style="padding:8px;font-family:Arial">Item {0:02d}</td><td align="right">{0}.90</td></tr>\n'
            rows = "".join(row.format(number) for number in range(1, 31))
            return (
                "<!doctype html><html><head><title>Your order</title></head><body>\n"
                f"<p>Thank you. Your order ID is {_NUMBER_MARK}.</p>\n<table>\n{rows}</table>\n"
                '<p>Questions? <a href="https://shop.example/help">Ask us</a>.</p></body></html>\n'
            )
        case _:
            assert body == "100k", f"a body is one of {BODIES}"
            line = "The quick brown fox jumps over the lazy dog, and nobody in the shop is surprised. {0:04d}\n"
            return f"Your order ID is {_NUMBER_MARK}.\n" + "".join(line.format(number) for number in range(1150))


async def run(settings: LoadSettings) -> LoadReport:
    """Run to the end and report."""
    loop = asyncio.get_running_loop()
    load = Load(settings)
    loop.add_signal_handler(signal.SIGTERM, load.stop)
    loop.add_signal_handler(signal.SIGINT, load.stop)
    address = urlsplit(settings.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    timer = loop.call_later(settings.lifetime_s, load.give_up, "its lifetime is over")
    async with asyncio.TaskGroup() as callers:
        lives = [callers.create_task(Caller(load, host, port).live()) for _ in range(settings.connections)]
        await load.done.wait()
        for life in lives:
            life.cancel()
    timer.cancel()
    return load.report()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, run, print the report. Exit code 1: it gave up."""
    parser = argparse.ArgumentParser(prog="outrider.testing.load", description="Load the email API, and measure it.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True, help="id:secret")
    parser.add_argument("--sender", required=True)
    parser.add_argument("--count", type=int, required=True, help="recipients in all")
    parser.add_argument("--per-call", type=int, default=100)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--body", choices=BODIES, default="3k")
    parser.add_argument("--first", type=int, default=0, help="number of the first recipient")
    parser.add_argument("--routes", type=int, default=ROUTES_COUNT, help="recipient domains")
    parser.add_argument("--same-content", action="store_true", help="the same content in every call")
    parser.add_argument("--template", default="", help="the id of a template to send instead")
    parser.add_argument("--rate", type=float, default=0.0, help="recipients a second at most; 0: no bound")
    parser.add_argument("--accepted", type=Path, help="append one line for each accepted call to this file")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds without any answer before giving up")
    parser.add_argument("--lifetime", type=float, default=LIFETIME_S, help="seconds after which it ends by itself")
    chosen = parser.parse_args(arguments)
    if chosen.count % chosen.per_call:
        parser.error("--count must be a multiple of --per-call")
    settings = LoadSettings(
        url=chosen.url,
        key=chosen.key,
        sender=chosen.sender,
        count=chosen.count,
        per_call=chosen.per_call,
        connections=chosen.connections,
        body=chosen.body,
        first=chosen.first,
        routes=chosen.routes,
        has_same_content=chosen.same_content,
        template=chosen.template,
        rate=chosen.rate,
        accepted=chosen.accepted,
        patience_s=chosen.patience,
        lifetime_s=chosen.lifetime,
    )
    report = uvloop.run(run(settings))
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.flush()
    return 1 if report.error else 0


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _share_ms(ordered: Sequence[float], share_ratio: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share_ratio))] * 1000, 3)


if __name__ == "__main__":
    sys.exit(main())

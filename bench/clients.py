"""Ours beside others, on the same mails, with the same sink, in the same run.

`ours` and `aiosmtplib`: one process each, unsigned, twenty connections, a new one after a hundred mails, with and
without STARTTLS, on uvloop. They take turns, twice, so that neither has the quieter half of the run.

`outrider` and `postfix+opendkim`: each mail comes in by itself at the front door (HTTP and SMTP), is stored, signed
with RSA-2048 and relayed; from the first one handed in to the last at the sink. Postfix as it is shipped. Where it or
OpenDKIM is not installed, or we are not root, that line is left out and stderr says so.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

import aiosmtplib
import uvloop

from bench import postfix
from bench.lines import Line, with_facts
from bench.rig import MEASURED_FIRST, Case, make_line, metered, rig, temporary_dir, warm_count
from bench.talk_loopback import cpu_s
from bench.talker import CONNECTIONS, MAILS_PER_CONNECTION, talking
from outrider.mail import address, build
from outrider.net.settings import NetSettings
from outrider.net.tls import TlsContexts
from outrider.testing import usage
from outrider.testing.load import make_content, recipient
from outrider.testing.sink import HOST
from outrider.testing.sink_client import RunningSink
from outrider.wire.smtp_client import Envelope, TlsMode

COUNT: Final = 10_000  # Of each client, in two turns.
RELAY_COUNT: Final = 6_000
_DOMAIN: Final = "shop.example"
_SENDER: Final = f"noreply@{_DOMAIN}"
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_RELAY_CASE: Final = Case(count=RELAY_COUNT, per_call=1, connections=32, is_rsa_only=True)
_RELAY_S: Final = 120.0

Send = Callable[[int, bool, Sequence[Envelope]], Awaitable[None]]


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Compare the clients, then the relays."""
    count = COUNT // 10 if is_quick else COUNT
    for has_tls in (False, True):
        spent = {"ours": (0.0, 0.0), "aiosmtplib": (0.0, 0.0)}
        for turn in range(2):
            envelopes = list(_mails(count // 2, turn * count))
            for name, send in (("ours", _send_ours), ("aiosmtplib", _send_theirs)):
                elapsed_s, used_s = await asyncio.to_thread(_run_alone, send, has_tls, envelopes)
                spent[name] = (spent[name][0] + elapsed_s, spent[name][1] + used_s)
        for name, (elapsed_s, used_s) in spent.items():
            yield Line(
                name=f"clients {name} 3k{' starttls' if has_tls else ''}",
                n=count,
                unit="mail",
                rate=round(count / elapsed_s, 1),
                cpu_us={"client": round(used_s / count * 1e6, 1)},
                facts={"ratio_to_ours": round(spent["ours"][0] / elapsed_s, 2)},
            )
    count = RELAY_COUNT // 20 if is_quick else RELAY_COUNT
    ours = await _run_outrider(count, limit, warm_count(is_quick=is_quick))
    yield ours
    if reason := postfix.missing():
        sys.stderr.write(f"SKIPPED: clients postfix+opendkim: {reason}\n")
        return
    theirs = await _run_postfix(count, limit, warm_count(is_quick=is_quick))
    yield with_facts(theirs, ratio_to_ours=round(theirs.rate / ours.rate, 2))


def _mails(count: int, first: int) -> Iterator[Envelope]:
    """Compose mails as the engine does: 3 KB HTML, each for one recipient."""
    draft = build.compose(
        sender=address.parse(_SENDER),
        from_name="Example Shop",
        subject="Your Order Confirmation",
        text=None,
        html=make_content("3k"),
        date=_AT,
    )
    for number in range(first, first + count):
        to = recipient(number)
        fields = [*draft.fields_for(address.parse(to), f"{number}@{_DOMAIN}"), *draft.fields]
        yield Envelope(_SENDER, (to,), b"".join(fields) + b"\r\n" + draft.body)


# -- The clients.


def _run_alone(send: Send, has_tls: bool, envelopes: Sequence[Envelope]) -> tuple[float, float]:
    return uvloop.run(_run_client(send, has_tls, envelopes))


async def _run_client(send: Send, has_tls: bool, envelopes: Sequence[Envelope]) -> tuple[float, float]:
    """Return how long it took and the CPU that it took."""
    async with RunningSink.start(has_tls=has_tls) as sink:
        before, started_s = cpu_s(), perf_counter()
        await send(sink.port, has_tls, envelopes)
        elapsed_s, used_s = perf_counter() - started_s, cpu_s() - before
        counts = await sink.wait(messages=len(envelopes), timeout_s=10)
        if counts.unique_recipients != len(envelopes) or bool(counts.tls_connections) != has_tls:
            raise RuntimeError(f"{len(envelopes)} mails wanted, TLS {has_tls}; the sink has {counts}")
    return elapsed_s, used_s


async def _send_ours(port: int, has_tls: bool, envelopes: Sequence[Envelope]) -> None:
    async with talking(port, has_tls=has_tls) as talker:
        await talker.send_all(iter(envelopes))


async def _send_theirs(port: int, has_tls: bool, envelopes: Sequence[Envelope]) -> None:
    mails = iter(envelopes)
    context = TlsContexts(NetSettings()).of(TlsMode.OPPORTUNISTIC)  # As ours has it; its own is made anew each time.

    async def send() -> None:
        client = None
        for number, mail in enumerate(mails):
            if number % MAILS_PER_CONNECTION == 0 or client is None:
                if client is not None:
                    await client.quit()
                client = aiosmtplib.SMTP(hostname=HOST, port=port, start_tls=has_tls, tls_context=context)
                await client.connect()
            await client.sendmail(mail.sender, list(mail.recipients), mail.content)
        if client is not None:
            await client.quit()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(send())


# -- The relays.


async def _run_outrider(count: int, limit: Line, warm: int) -> Line:
    async with rig(_RELAY_CASE) as one:
        await one.program.start(domain_options=_RELAY_CASE.domain_options)
        await one.warm_up(_RELAY_CASE, warm)
        async with metered(one) as meter:
            load = await one.load(_RELAY_CASE, count=count, first=MEASURED_FIRST)
            last_at_s = await one.arrive(count, _RELAY_CASE.deadline_s)
        elapsed_s = last_at_s - load.first_at_s
        line = make_line("clients outrider 3k", n=count, elapsed_s=elapsed_s, meter=meter, load=load, limit=limit)
        await one.program.stop()
    return line


async def _run_postfix(count: int, limit: Line, warm: int) -> Line:
    async with (
        temporary_dir() as path,
        RunningSink.start() as sink,
        postfix.running_relay(path, sink.port, domain=_DOMAIN) as (port, pids),
        talking(port) as talker,
    ):
        await talker.send_all(_mails(warm, 0))
        await sink.wait(messages=warm, timeout_s=_RELAY_S)
        await sink.reset()
        before, started_s = _used_s(pids), perf_counter()
        await talker.send_all(_mails(count, MEASURED_FIRST))
        counts = await sink.wait(messages=count, timeout_s=_RELAY_S)
        if counts.unique_recipients != count:
            raise RuntimeError(f"{count} mails wanted; the sink has {counts}")
        used_s = _used_s(pids) - before
        signed_bytes = counts.octets // count
    rate = count / (counts.last_at_s - started_s)
    return Line(
        name="clients postfix+opendkim 3k",
        n=count,
        unit="mail",
        rate=round(rate, 1),
        cpu_us={"relay": round(used_s / count * 1e6, 1)},
        rsa_ratio=round(rate / limit.rate, 3),
        facts={"mail_bytes": signed_bytes},
    )


def _used_s(pids: Sequence[int]) -> float:
    """CPU seconds of these and all they started; those that ended count with their parents."""
    return sum(usage.measure_one(one).cpu_s for pid in pids for one in usage.family(pid))

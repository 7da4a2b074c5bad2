"""Does anything grow, and is anything forgotten, when peers misbehave for a quarter of an hour?

    python -m bench soak            15 minutes; --quick 30 s

The real program delivers by MX, over STARTTLS, to a sink that meets a share of all mail with every kind of trouble it
knows (`policy.behaviour.fault_mix`): refusals, deferrals, 421, hang-ups before, in and after the message, silence,
slowness, garbage, broken TLS. First the machine's speed is measured without them, then half of it is sent.

Each period it notes descriptors, threads, private memory of our processes, and lanes held, attempts in flight and
connections from /metrics. What they grow by in a minute, by least squares after the warm-up, are facts of the line: a
person judges them. At the end the sink behaves, what is due gets a while, and the database is asked: it is an error if
a recipient that was accepted is not delivered, bounced, expired, or queued with a reason (its own deferral, its lane's
pause, or a process that has the lane), or if the sink has not seen what is called delivered.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import asyncpg
import msgspec

from bench import lines
from bench.lines import Line
from bench.rig import MEASURED_FIRST, Case, Rig, make_line, metered, rig
from outrider.policy.behaviour import fault_mix
from outrider.testing import usage
from outrider.testing.clock import RealClock
from outrider.testing.load import LoadReport, LoadSettings
from outrider.testing.load_client import running_load

FAULTS_RATIO: Final = 0.15
SPEED_RATIO: Final = 0.5
ROUTES: Final = 40  # Each a site of its own, with connections and limits of its own.
_PER_CALL: Final = 10
_WARM_RATIO: Final = 0.25  # Of the run: caches, plans and pools fill; growth is measured after it.
_SLOWEST_RATE: Final = 20.0
_GAUGES: Final = ("outrider_lanes_held", "outrider_attempts_in_flight", "outrider_smtp_connections_open")
_POLL_S: Final = 1.0
_OURS: Final = f"address >= 'u{MEASURED_FIRST:08d}'"  # Not the mail by which the speed was measured.
_STATUSES: Final = f"SELECT status, count(*) AS count FROM recipient WHERE {_OURS} GROUP BY status"
_DUE: Final = """
    SELECT count(*) FROM queue q JOIN lane l USING (lane_id)
     WHERE q.due_at <= now() AND (l.paused_until IS NULL OR l.paused_until <= now())"""
# One whose wait has just ended takes its turn: a process looks every second for lanes that are due.
_WITHOUT_REASON: Final = """
    SELECT q.due_at - now() AS due_in, q.attempt, r.reason, l.route, l.next_due_at - now() AS lane_due_in, l.lease_until
      FROM queue q JOIN recipient r USING (recipient_id) JOIN lane l USING (lane_id)
     WHERE (r.reason <> '' AND q.due_at > now() - interval '5 seconds') IS NOT TRUE
       AND (l.paused_until > now() AND l.pause_kind IS NOT NULL AND l.pause_reason <> '') IS NOT TRUE
       AND (l.owner IS NOT NULL AND l.lease_until > now()) IS NOT TRUE"""
_APART: Final = """
    SELECT (SELECT count(*) FROM queue q LEFT JOIN recipient r USING (recipient_id)
             WHERE r.status IS DISTINCT FROM 'queued')
         + (SELECT count(*) FROM recipient r LEFT JOIN queue q USING (recipient_id)
             WHERE r.status = 'queued' AND q.recipient_id IS NULL) AS count"""
_DELIVERED: Final = f"SELECT address FROM recipient WHERE status = 'delivered' AND {_OURS}"
_AMBIGUOUS: Final = "SELECT count(*) FROM event WHERE facts ? 'ambiguous' OR facts ? 'taken_over'"


class Run(msgspec.Struct, frozen=True):
    """How long what takes."""

    speed_count: int  # Mails for the measurement of speed.
    run_s: float
    period_s: float  # Between two samples.
    settle_s: float  # What is due may take, at the end.
    first_s: float  # The first retry.


FULL: Final = Run(speed_count=5_000, run_s=900.0, period_s=10.0, settle_s=120.0, first_s=15.0)
QUICK: Final = Run(speed_count=400, run_s=30.0, period_s=2.0, settle_s=30.0, first_s=2.0)


class Sample(msgspec.Struct, frozen=True):
    """What we used at one instant."""

    at_s: float
    private_bytes: dict[str, int]  # By role.
    descriptors: int
    threads: int
    gauges: dict[str, float]


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Soak once."""
    run = QUICK if is_quick else FULL
    case = Case(
        count=run.speed_count, per_call=_PER_CALL, has_tls=True, is_direct=True, routes=ROUTES, env=_environment(run)
    )
    async with rig(case, lifetime_s=run.run_s + run.settle_s + 600.0) as one:
        await one.program.start()
        speed = await _measure_speed(one, case)
        yield await _soak(one, run, max(speed * SPEED_RATIO, _SLOWEST_RATE), limit)


def _environment(run: Run) -> dict[str, str]:
    """Return waits that fit the run: a peer that is silent for five minutes would be a third of it."""
    waits = {f"OUTRIDER_NET__{name}_WAIT_S": "10" for name in ("GREETING", "COMMAND", "DATA_START", "DATA_END")}
    # So that composed messages, kept up to a bound, do not look like growth for a quarter of an hour.
    return {**waits, "OUTRIDER_RETRY__FIRST_S": str(run.first_s), "OUTRIDER_ENGINE__DRAFTS_BYTES_MAX": "1000000"}


async def _measure_speed(one: Rig, case: Case) -> float:
    """Return mails a second to peers that behave."""
    await one.warm_up(case, case.count // 4)
    load = await one.load(case, count=case.count, first=MEASURED_FIRST // 2)
    return case.count / (await one.arrive(case.count, case.deadline_s) - load.first_at_s)


async def _soak(one: Rig, run: Run, rate: float, limit: Line) -> Line:
    await one.sink.reset()
    await one.sink.behave(*fault_mix(FAULTS_RATIO))
    samples: list[Sample] = []
    started_s = perf_counter()
    async with metered(one) as meter:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(_sample(one, run.period_s, samples))
            report = await _load(one, run, rate)
            sampling.cancel()
        elapsed_s = perf_counter() - started_s
        await one.sink.behave()
        settled_s = await _until_idle(one, run.settle_s)
    growth = _growth([sample for sample in samples if sample.at_s - started_s >= run.run_s * _WARM_RATIO])
    try:
        facts = await _account(one, report)
    except RuntimeError as error:
        error.add_note(f"What grew: {growth}")
        raise
    line = make_line("soak", n=report.accepted, elapsed_s=elapsed_s, meter=meter, load=report, limit=limit)
    return lines.with_facts(line, asked_rate=round(rate, 1), settled_s=round(settled_s, 1), **facts, **growth)


async def _load(one: Rig, run: Run, rate: float) -> LoadReport:
    """Send for as long as the run is.

    Raises:
        RuntimeError: a call was refused or lost.
    """
    assert one.program.key is not None
    settings = LoadSettings(
        url=one.program.url,
        key=one.program.key.pair,
        sender=one.program.sender,
        count=max(int(rate * run.run_s) // _PER_CALL, 1) * _PER_CALL,
        per_call=_PER_CALL,
        first=MEASURED_FIRST,
        routes=ROUTES,
        rate=rate,
        lifetime_s=run.run_s * 2,
    )
    async with running_load(settings) as load:
        report = await load.report()
    if report.error or report.lost_calls or report.accepted != settings.count:
        raise RuntimeError(f"not all was accepted: {report}\n{one.program.log_tail()}")
    return report


async def _sample(one: Rig, period_s: float, samples: list[Sample]) -> None:
    """Note what we use, until cancelled."""
    clock = RealClock()
    while True:
        await clock.sleep(period_s)
        roles = await asyncio.to_thread(one.program.processes)
        ours = [pid for pid, role in roles.items() if role != "postgres"]
        private_bytes: Counter[str] = Counter()
        for pid in ours:
            private_bytes[roles[pid]] += usage.measure_one(pid).private_bytes
        text = (await one.program.request("GET", "/metrics")).body.decode()
        samples.append(
            Sample(
                at_s=perf_counter(),
                private_bytes=dict(private_bytes),
                descriptors=sum(usage.descriptor_count(pid) for pid in ours),
                threads=sum(_thread_count(pid) for pid in ours),
                gauges=_read_gauges(text),
            )
        )


def _thread_count(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # It has just ended.
        return 0


def _read_gauges(text: str) -> dict[str, float]:
    found: Counter[str] = Counter()
    for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", text, re.MULTILINE):
        if name in _GAUGES:
            found[name] += round(float(value))
    return {name: found[name] for name in _GAUGES}


async def _until_idle(one: Rig, wait_s: float) -> float:
    """Wait until nothing is due; return how long that took, about `wait_s` at most."""
    clock, started_s = RealClock(), perf_counter()
    while (waited_s := perf_counter() - started_s) < wait_s and (await _fetch(one, _DUE))[0]["count"]:
        await clock.sleep(_POLL_S)
    return waited_s


async def _account(one: Rig, report: LoadReport) -> dict[str, int]:
    """Ask the database and the sink what became of everything.

    Raises:
        RuntimeError: the counts do not add up.
    """
    statuses = {row["status"]: row["count"] for row in await _fetch(one, _STATUSES)}
    wrong: list[str] = []
    if sum(statuses.values()) != report.accepted:
        wrong.append(f"{report.accepted} were accepted, the database has {statuses}")
    if strange := set(statuses) - {"delivered", "bounced", "expired", "queued"}:
        wrong.append(f"nobody asked for {strange}")
    if apart := (await _fetch(one, _APART))[0]["count"]:
        wrong.append(f"{apart} are queued without a row, or have a row and are not queued")
    if forgotten := await _fetch(one, _WITHOUT_REASON):
        wrong.append(f"{len(forgotten)} wait without a reason, such as {dict(forgotten[0])}")
    # In this order: retries go on, and what is called delivered now was seen before.
    delivered = {row["address"] for row in await _fetch(one, _DELIVERED)}
    seen = await one.sink.recipients()
    if unseen := delivered - seen:
        wrong.append(f"{len(unseen)} are called delivered and were never seen, such as {min(unseen)}")
    duplicates, excused = (await one.sink.counts()).duplicates, (await _fetch(one, _AMBIGUOUS))[0]["count"]
    if duplicates > excused:
        wrong.append(f"{duplicates} came twice; only {excused} attempts ended without knowing")
    if wrong:
        raise RuntimeError("\n".join([*wrong, one.program.log_tail()]))
    return {**statuses, "duplicates": duplicates, "ambiguous": excused}


def _growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return by how much each thing grew in a minute, and the last values."""
    if len(samples) < 3:
        return {}
    at_s = [sample.at_s for sample in samples]
    series: dict[str, list[float]] = {
        "private_mb": [sum(sample.private_bytes.values()) / 1e6 for sample in samples],
        **{
            f"{role}_private_mb": [sample.private_bytes.get(role, 0) / 1e6 for sample in samples]
            for role in samples[-1].private_bytes
        },
        "descriptors": [sample.descriptors for sample in samples],
        "threads": [sample.threads for sample in samples],
        **{name.removeprefix("outrider_"): [sample.gauges[name] for sample in samples] for name in _GAUGES},
    }
    found: dict[str, float] = {}
    for name, values in series.items():
        found[f"{name}_per_min"] = round(_slope(at_s, values) * 60, 3)
        found[f"{name}_last"] = round(values[-1], 1)
    return found


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the line of least squares."""
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


async def _fetch(one: Rig, sql: str) -> list[Any]:
    connection: Any = await asyncpg.connect(one.program.dsn(), command_timeout=60.0)
    try:
        rows: list[Any] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()

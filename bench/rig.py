"""What the big benchmarks share: the real program, a sink, a load generator, and who used how much CPU and memory.

Mail goes out through the sink as a smart host; of a `Case` with `is_direct` by MX, which a name server of ours invents
for every domain there is (`testing.zone`): each domain is a site of its own, and all sites are one sink, which listens
at several addresses.

Everything runs on the machine's own cores, each in its own process, with `fsync` on, in a temporary data directory that
is removed. Every wait has a deadline; what was started is killed by pid when the block ends, however it ends.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.lines import Line
from outrider.testing import load, usage
from outrider.testing.load import ROUTES_COUNT, LoadReport, LoadSettings
from outrider.testing.load_client import running_load
from outrider.testing.program import Program
from outrider.testing.sink import HOST
from outrider.testing.sink_client import RunningSink
from outrider.testing.usage import Usage
from outrider.testing.zone import OWN, Rule, running_zone

WARM_COUNT: Final = 2_000  # Mails before the clock runs: connections, caches and plans are then as in steady state.
MEASURED_FIRST: Final = 10_000_000  # Recipient numbers of the measured part; the warm ones are below.
SINK_HOSTS: Final = tuple(f"127.0.0.{number}" for number in range(1, 9))  # Of direct cases. One has 28,000 ports to us.
EVERYWHERE: Final = (Rule("*", OWN, SINK_HOSTS),)
_SAMPLE_S: Final = 1.0
_SLOWEST_RATE: Final = 250.0  # Mails a second below which a run is given up.
_START_S: Final = 30.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of a run."""

    count: int
    per_call: int = 100
    body: str = "3k"
    has_tls: bool = False
    is_rsa_only: bool = False  # One signature instead of two.
    connections: int = 8
    routes: int = ROUTES_COUNT  # Recipient domains.
    is_direct: bool = False
    is_templated: bool = False  # The same content from a template, with five variables of each recipient's own.
    env: Mapping[str, str] = {}
    label: str = ""  # Of what `env` changes.

    @property
    def name(self) -> str:
        """Such as "100/call 3k starttls"."""
        parts = (
            f"{self.per_call}/call",
            self.body,
            "starttls" if self.has_tls else "",
            "rsa only" if self.is_rsa_only else "",
            "template" if self.is_templated else "",
            f"{self.routes:,} routes" if self.is_direct else "",
            self.label,
        )
        return " ".join(filter(None, parts))

    @property
    def domain_options(self) -> tuple[str, ...]:
        """Options of `outrider domain add`."""
        return ("--algorithm", "rsa-sha256") if self.is_rsa_only else ()

    @property
    def deadline_s(self) -> float:
        """How long the measured part may take."""
        return _START_S + self.count / _SLOWEST_RATE


class Rig:
    """A program and the sink it delivers to."""

    def __init__(self, program: Program, sink: RunningSink, record: Path) -> None:
        self.program: Final = program
        self.sink: Final = sink
        self.record: Final = record  # What the sink writes down, if it was asked to.
        self._template = ""  # Of templated cases, once it is made.

    async def load(self, case: Case, *, count: int, first: int) -> LoadReport:
        """Run the generator to its end.

        Raises:
            RuntimeError: a call was refused or lost; the run measures nothing.
        """
        assert self.program.key is not None
        settings = LoadSettings(
            url=self.program.url,
            key=self.program.key.pair,
            sender=self.program.sender,
            count=count,
            per_call=case.per_call,
            connections=case.connections,
            body=case.body,
            first=first,
            routes=case.routes,
            template=await self._find_template(case) if case.is_templated else "",
            lifetime_s=case.deadline_s,
        )
        async with running_load(settings) as load:
            report = await load.report()
        if report.accepted != count:
            raise RuntimeError(f"not all was accepted: {report}\n{self.program.log_tail()}")
        return report

    async def _find_template(self, case: Case) -> str:
        assert self.program.key is not None
        if not self._template:
            fields = {"Name": "bench", "Subject": "Your Order Confirmation", "TriggerType": 1, "Editor": 1}
            answer = await self.program.request(
                "POST",
                "/api/v1/email/EmailTemplate",
                fields | {"HtmlContent": load.template_content(case.body)},
                key=self.program.key,
            )
            self._template = answer.json()["TemplateId"]
        return self._template

    async def warm_up(self, case: Case, count: int = WARM_COUNT) -> None:
        """Deliver about that many mails, and make the sink forget them."""
        count = max(count // case.per_call, 1) * case.per_call
        await self.load(case, count=count, first=0)
        await self.arrive(count, case.deadline_s)
        await self.sink.reset()

    async def arrive(self, count: int, timeout_s: float) -> float:
        """Wait for so many messages at the sink; return when the last one came (perf_counter).

        Raises:
            RuntimeError: they did not come in time, or some came twice.
        """
        counts = await self.sink.wait(messages=count, timeout_s=timeout_s)
        if not counts.is_reached or counts.duplicates or counts.unique_recipients != count:
            raise RuntimeError(f"{count} wanted, the sink has {counts}\n{self.program.log_tail()}")
        return counts.last_at_s


class Meter:
    """CPU spent, the highest memory and the most descriptors between `start` and `stop`; samples meanwhile."""

    def __init__(self, rig: Rig) -> None:
        self._rig: Final = rig
        self._roles: dict[int, str] = {}
        self._before: dict[str, Usage] = {}
        self.cpu_s: dict[str, float] = {}
        self.rss_bytes_max = 0
        self.pss_bytes_max = 0
        self.deliver_rss_bytes_max = 0  # Of one deliver process, as the next.
        self.deliver_descriptors_max = 0
        self._stopping: Final = asyncio.Event()

    async def run(self) -> None:
        """Sample until `stop`. Costs about 1 % of a core."""
        while not self._stopping.is_set():
            self._sample(self._roles)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SAMPLE_S):
                    await self._stopping.wait()

    def start(self) -> None:
        """Read the counters."""
        self._roles = self._rig.program.processes()
        self._before = self._read()

    def stop(self) -> None:
        """Read the counters again."""
        self._stopping.set()
        after = self._read()
        self.cpu_s = {role: spent.cpu_s - self._before.get(role, Usage()).cpu_s for role, spent in after.items()}
        self._sample(self._rig.program.processes())

    def _read(self) -> dict[str, Usage]:
        return self._rig.program.usage() | {"sink": usage.measure_one(self._rig.sink.pid)}

    def _sample(self, roles: Mapping[int, str]) -> None:
        found = {pid: usage.measure_one(pid) for pid in roles}
        self.rss_bytes_max = max(self.rss_bytes_max, sum(one.rss_bytes for one in found.values()))
        self.pss_bytes_max = max(self.pss_bytes_max, sum(one.pss_bytes for one in found.values()))
        for pid in (pid for pid, role in roles.items() if role == "deliver"):
            self.deliver_rss_bytes_max = max(self.deliver_rss_bytes_max, found[pid].rss_bytes)
            self.deliver_descriptors_max = max(self.deliver_descriptors_max, usage.descriptor_count(pid))


def warm_count(*, is_quick: bool) -> int:
    """Return how many mails to warm up with."""
    return WARM_COUNT // 10 if is_quick else WARM_COUNT


@contextlib.asynccontextmanager
async def temporary_dir() -> AsyncIterator[Path]:
    """Yield a short path on the disk of the system's temporary directory; it is removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="outrider-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.asynccontextmanager
async def rig(
    case: Case, *, rules: Sequence[Rule] = EVERYWHERE, has_record: bool = False, lifetime_s: float = 900.0
) -> AsyncIterator[Rig]:
    """Yield a rig whose program is not started yet.

    Args:
        rules: what the name server says, if the case is direct.
        has_record: the sink writes down what came when, to `Rig.record`.
        lifetime_s: when sink and name server end by themselves.
    """
    hosts = SINK_HOSTS if case.is_direct else (HOST,)
    async with contextlib.AsyncExitStack() as stack:
        path = await stack.enter_async_context(temporary_dir())
        record = path / "taken.tsv"
        starting = RunningSink.start(
            hosts=hosts, has_tls=case.has_tls, record=record if has_record else None, lifetime_s=lifetime_s
        )
        sink = await stack.enter_async_context(starting)
        delivery, env = f"smarthost://{HOST}:{sink.port}", {"OUTRIDER_LOG__LEVEL": "warning", **case.env}
        if case.is_direct:
            address = await stack.enter_async_context(running_zone(*rules, lifetime_s=lifetime_s))
            delivery = "direct"
            env |= {
                "OUTRIDER_DNS_SERVER": address,
                "OUTRIDER_SMTP_PORT": str(sink.port),
                "OUTRIDER_ALLOW_PRIVATE_MX": "1",
            }
        program = await stack.enter_async_context(Program(path / "node", delivery=delivery, env=env))
        yield Rig(program, sink, record)


@contextlib.asynccontextmanager
async def metered(one: Rig) -> AsyncIterator[Meter]:
    """Meter the block."""
    meter = Meter(one)
    async with asyncio.TaskGroup() as group:
        meter.start()
        group.create_task(meter.run())
        try:
            yield meter
        finally:
            meter.stop()


@contextlib.asynccontextmanager
async def run_case(name: str, case: Case, *, count: int, warm: int, limit: Line) -> AsyncIterator[tuple[Rig, Line]]:
    """Deliver `count` mails end to end and yield the line, while program and sink can still be asked."""
    async with rig(case) as one:
        await one.program.start(domain_options=case.domain_options)
        await one.warm_up(case, warm)
        async with metered(one) as meter:
            load = await one.load(case, count=count, first=MEASURED_FIRST)
            last_at_s = await one.arrive(count, case.deadline_s)
        elapsed_s = last_at_s - load.first_at_s
        yield one, make_line(f"{name} {case.name}", n=count, elapsed_s=elapsed_s, meter=meter, load=load, limit=limit)
        await one.program.stop()


def make_line(name: str, *, n: int, elapsed_s: float, meter: Meter, load: LoadReport | None, limit: Line) -> Line:
    """Put one run together. `limit` is the RSA limit of the same run."""
    rate = n / elapsed_s
    cpu_s = dict(meter.cpu_s)
    if load is not None:
        cpu_s["load"] = load.cpu_s
    return Line(
        name=name,
        n=n,
        unit="mail",
        rate=round(rate, 1),
        p50_ms=load.p50_ms if load else None,
        p99_ms=load.p99_ms if load else None,
        cpu_us={role: round(spent_s / n * 1e6, 1) for role, spent_s in cpu_s.items() if spent_s > 0},
        rss_mb=round(meter.rss_bytes_max / 1e6, 1),
        pss_mb=round(meter.pss_bytes_max / 1e6, 1),
        rsa_ratio=round(rate / limit.rate, 3),
        facts={"elapsed_s": round(elapsed_s, 3)},
    )

"""What does a long list of suppressions cost a call? Two programs side by side, one with none, one with a million.

The loads alternate, so that a machine that slows down slows both. None of the recipients is suppressed: each is asked
for and not found, as nearly all are. The list comes in by `outrider suppression import`, whose own pace is a line too.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from bench.lines import Line, with_facts
from bench.rig import MEASURED_FIRST, Case, Meter, Rig, make_line, metered, rig, temporary_dir
from outrider.testing.load import LoadReport

CASE: Final = Case(count=30_000)
ROUNDS: Final = 6  # Of each; the first of each warms up and is not counted.
STORED_COUNT: Final = 1_000_000
_IMPORT_S: Final = 600.0


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Load both by turns; the ratios of rate and CPU are facts of the last line."""
    count = CASE.count // 30 if is_quick else CASE.count
    stored_count = STORED_COUNT // 50 if is_quick else STORED_COUNT
    rounds = 2 if is_quick else ROUNDS
    async with AsyncExitStack() as stack:
        none, full = [await stack.enter_async_context(rig(CASE, lifetime_s=3600.0)) for _ in range(2)]
        for one in (none, full):
            await one.program.start("--role", "web")
        yield await _import(full, stored_count, limit)
        found: dict[str, list[tuple[float, Meter, LoadReport]]] = {"none": [], "full": []}
        for number in range(rounds):
            sides = [("none", none), ("full", full)]
            for name, one in sides if number % 2 == 0 else reversed(sides):
                async with metered(one) as meter:
                    load = await one.load(CASE, count=count, first=MEASURED_FIRST + number * count)
                if number:
                    found[name].append((load.last_at_s - load.first_at_s, meter, load))
        without = _line("none stored", found["none"], count, limit)
        stored = _line(f"{stored_count:,} stored", found["full"], count, limit)
        yield without
        yield with_facts(
            stored,
            rate_ratio=round(stored.rate / without.rate, 3),
            cpu_ratio=round(_cpu_us(stored) / _cpu_us(without), 3),
        )
        for one in (none, full):
            await one.program.stop()


def _cpu_us(line: Line) -> float:
    """What Outrider and its database spent; the load generator is nobody's cost."""
    return sum(spent for role, spent in line.cpu_us.items() if role not in ("load", "sink"))


async def _import(one: Rig, count: int, limit: Line) -> Line:
    async with temporary_dir() as path:
        file = path / "suppressions.csv"
        _write(file, count)
        began_s = time.perf_counter()
        done = await one.program.command("suppression", "import", str(file), timeout_s=_IMPORT_S)
        elapsed_s = time.perf_counter() - began_s
    if done.code != 0:
        raise RuntimeError(f"the import failed: {done.stderr}")
    rate = count / elapsed_s
    return Line(
        name="suppressed import",
        n=count,
        unit="entry",
        rate=round(rate, 1),
        rsa_ratio=round(rate / limit.rate, 3),
        facts={"elapsed_s": round(elapsed_s, 1)},
    )


def _write(file: Path, count: int) -> None:
    with file.open("w", encoding="ascii") as lines:
        lines.write("address,scope,subject,reason\n")
        for number in range(count):
            scope = "stream,marketing,complaint" if number % 3 else "all,,recipient.invalid"
            lines.write(f"gone{number}@d{number % 5000}.example,{scope}\n")


def _line(name: str, found: list[tuple[float, Meter, LoadReport]], count: int, limit: Line) -> Line:
    """Sum up the rounds: rate and CPU over all of them, percentiles of the middle one."""
    elapsed_s, meter, load = sorted(found, key=lambda one: one[0])[len(found) // 2]
    middle = make_line(f"suppressed {name}", n=count, elapsed_s=elapsed_s, meter=meter, load=load, limit=limit)
    n = count * len(found)
    spent: Counter[str] = Counter()
    for _, one, of_load in found:
        spent.update({**one.cpu_s, "load": of_load.cpu_s})
    rate = n / sum(one[0] for one in found)
    return msgspec.structs.replace(
        middle,
        n=n,
        rate=round(rate, 1),
        cpu_us={role: round(spent_s / n * 1e6, 1) for role, spent_s in spent.items() if spent_s > 0},
        rsa_ratio=round(rate / limit.rate, 3),
        facts={"rounds": len(found), "quickest_s": round(min(one[0] for one in found), 3)},
    )

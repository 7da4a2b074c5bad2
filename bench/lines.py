"""What a benchmark prints: one JSON line, kept in results.json, compared with baseline.json, shown as a table.

results.json grows by every full run and stays on this machine; baseline.json is in the repository and holds the last
results that somebody accepted (`--accept`), all of one machine.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "results.json"
BASELINE: Final = FOLDER / "baseline.json"
_WIDTH: Final = 130


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of one benchmark."""

    name: str  # With its variant: "end_to_end 100/call 3k".
    n: int
    unit: str
    rate: float  # Units a second.
    commit: str = ""
    machine: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: Mapping[str, float] = {}  # CPU microseconds a unit, by role.
    rss_mb: float | None = None  # The highest sum over all processes of Outrider and its database.
    pss_mb: float | None = None
    rsa_ratio: float | None = None  # `rate` by the RSA limit of the same run.
    facts: Mapping[str, int | float | str] = {}

    @property
    def cpu_us_sum(self) -> float:
        """CPU microseconds a unit, all roles together."""
        return sum(self.cpu_us.values())


def share_ms(taken_s: Sequence[float], share_ratio: float) -> float:
    """Return the milliseconds that this share of the durations stays within; at least one duration."""
    ordered = sorted(taken_s)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share_ratio))] * 1000, 2)


def with_facts(line: Line, **facts: float | str) -> Line:
    """Return the line with these facts besides its own."""
    return msgspec.structs.replace(line, facts={**line.facts, **facts})


def commit() -> str:
    """Return the commit measured, with a + if files differ from it; "" outside a clone."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + "+" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> str:
    """Return the processor, how many cores we may use, and the Python."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model} x {cores()}, Python {platform.python_version()}"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def keep(lines: Sequence[Line]) -> None:
    """Append to results.json."""
    with RESULTS.open("ab") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


def read_baseline() -> dict[str, Line]:
    """Return the last accepted results by name; {} if there are none yet."""
    if not BASELINE.exists():
        return {}
    return {line.name: line for line in msgspec.json.decode(BASELINE.read_bytes(), type=list[Line])}


def write_baseline(lines: Sequence[Line]) -> None:
    """Accept these results; those of other benchmarks stay."""
    kept = read_baseline() | {line.name: line for line in lines}
    BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(list(kept.values())), indent=2) + b"\n")


def show(lines: Sequence[Line]) -> None:
    """Print the table: each result, beside what was accepted last."""
    baseline = read_baseline()
    table = Table(title=f"{machine()}  {commit()}", title_justify="left")
    for column in ("benchmark", "n", "rate/s", "baseline", "x RSA", "p50 ms", "p99 ms", "CPU us", "RSS MB", "PSS MB"):
        table.add_column(column, justify="left" if column == "benchmark" else "right")
    for line in lines:
        before = baseline.get(line.name)
        table.add_row(
            line.name,
            f"{line.n:,}",
            f"{line.rate:,.0f}",
            f"{line.rate / before.rate - 1:+.0%}" if before else "",
            *(_shown(value) for value in (line.rsa_ratio, line.p50_ms, line.p99_ms)),
            f"{line.cpu_us_sum:,.0f}" if line.cpu_us else "",
            *(f"{value:,.0f}" if value else "" for value in (line.rss_mb, line.pss_mb)),
        )
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)  # A log file has no width; do not fold the numbers there.
    console.print(table)
    for line in lines:
        if line.cpu_us:
            parts = ", ".join(
                f"{role} {spent:,.0f}" for role, spent in sorted(line.cpu_us.items(), key=lambda p: -p[1])
            )
            console.print(f"CPU us per {line.unit}, {line.name}: {parts}")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True, cwd=FOLDER, timeout=20
    ).stdout.strip()

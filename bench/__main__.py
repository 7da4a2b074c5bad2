"""`python -m bench [NAME ...] [--quick] [--accept]`: run benchmarks, print a JSON line for each and a table at the end.

Without a name all of them run, in the order of `NAMES`, parts before the whole: 15 to 20 minutes on two quiet cores,
half of that `backlog_latency` (a million mails put in twice) and `routes` (50,000 domains). `--quick` shows that none
rots, in two minutes, with small counts; its numbers are not kept. `--accept` makes these results the baseline. Compare
numbers of one quiet machine only. `soak` runs by its name alone: 15 minutes, quick 30 s.
"""

import argparse
import asyncio
import importlib
import importlib.util
import sys
import traceback
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from bench import lines, rsa_limit
from bench.lines import Line

MICRO: Final = ("dkim", "render", "links", "throttle")
MACRO: Final = (
    "api_call",
    "talk_loopback",
    "clients",
    "access",
    "claim_cost",
    "latency",
    "backlog_latency",
    "accept_only",
    "suppressed",
    "retries",
    "mail_lists",
    "event_feed",
    "figures",
    "track",
    "delivery_only",
    "end_to_end",
    "templated",
    "new_connection",
    "routes",
    "inbound",
    "webhooks",
    "relay",
)
ONLY_BY_NAME: Final = ("soak",)  # A quarter of an hour at half speed: it finds leaks, not speed.
NAMES: Final = ("rsa_limit", *MICRO, *MACRO)


async def run(names: list[str], *, is_quick: bool) -> tuple[list[Line], list[str]]:
    """Run these; return the lines and the names of what failed. The RSA limit always comes first."""
    found: list[Line] = []
    failed: list[str] = []
    commit, machine = lines.commit(), lines.machine()

    def tell(line: Line) -> None:
        line = msgspec.structs.replace(line, commit=commit, machine=machine)
        found.append(line)
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()

    limit = rsa_limit.measure(is_quick=is_quick)
    tell(limit)
    for name in (name for name in (*NAMES, *ONLY_BY_NAME) if name in names and name != "rsa_limit"):
        try:
            async for line in _measure(name, limit, is_quick=is_quick):
                tell(line)
        except Exception:  # noqa: BLE001 - one that is broken must not hide the others.
            failed.append(name)
            traceback.print_exc()
    return found, failed


async def _measure(name: str, limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    module = importlib.import_module(f"bench.{name}")
    if name in MICRO:
        for line in module.measure(limit, is_quick=is_quick):
            yield line
    else:
        async for line in module.measure(limit, is_quick=is_quick):
            yield line


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Outrider on this machine.")
    known = (*NAMES, *ONLY_BY_NAME)
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="small counts: does it run?")
    parser.add_argument("--accept", action="store_true", help="make these results the baseline")
    chosen = parser.parse_args()
    found, failed = asyncio.run(run(chosen.names or list(NAMES), is_quick=chosen.quick))
    lines.show(found)
    if not chosen.quick:
        lines.keep(found)
    if chosen.accept and not failed:
        lines.write_baseline(found)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

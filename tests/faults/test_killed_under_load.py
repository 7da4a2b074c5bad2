"""Fault: under load, kill -9 of each process in turn and of all at once, the database included, at 20 random instants.

A supervisor that was killed is started again, as an init system would; everything else must come back by itself. Then
must hold: each message of a call that was answered RetCode 0 reached the sink at least once and is `delivered`;
recipients who got theirs twice are no more than attempts were in flight when somebody died; and where a lane's owner
died, the event of the repeated attempt says so.

The seed of the instants is printed; OUTRIDER_TEST_SEED repeats one.
"""

import asyncio
import contextlib
import os
import random
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from outrider.testing.load import ROUTES_COUNT, LoadSettings
from outrider.testing.load_client import AcceptedCall, RunningLoad, read_accepted, running_load
from outrider.testing.postgres import make_folder
from outrider.testing.program import Program, ProgramError
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

IN_FLIGHT_MAX = 100  # In each deliver process.
DELIVER_WORKERS = 2
PER_CALL = 20
RATE = 400.0  # Recipients a second: enough that something is always in flight, little enough to drain soon.
TARGETS = ("web", "deliver", "deliver", "worker", "postgres", "supervisor", "all")
KILL_COUNT = 20
# How many deliver processes lose their memory of what is in flight when this one dies. With the supervisor they stop by
# themselves and settle; without the database they live on and settle later, unless their lanes were lost meanwhile.
LOSERS = {"web": 0, "worker": 0, "deliver": 1, "postgres": DELIVER_WORKERS, "supervisor": DELIVER_WORKERS}
FLOWING_RATIO = 0.8  # How often mail flows again before the next kill; the others hit a start or a recovery.
DRAIN_S = 30.0
SAMPLE_COUNT = 40
SHOWN_COUNT = 3
STARTS_MAX = 3


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Program, RunningSink]]:
    env = {
        "OUTRIDER_ENGINE__IN_FLIGHT_MAX": str(IN_FLIGHT_MAX),
        "OUTRIDER_ENGINE__DELIVER_WORKERS": str(DELIVER_WORKERS),
        "OUTRIDER_ENGINE__LEASE_S": "5",
    }
    # The peer takes its time now and then, so that there is always something in flight.
    rules, record = ["dot@0.05 * delay 0.2"], folder / "taken.tsv"
    async with (
        RunningSink.start(rules=rules, record=record, lifetime_s=230.0) as sink,
        Program(folder / "node", delivery=f"smarthost://127.0.0.1:{sink.port}", env=env) as program,
    ):
        await program.start(domain_options=["--algorithm", "ed25519-sha256"])  # RSA would sign for most of the time.
        yield program, sink


def load_settings(program: Program, folder: Path) -> LoadSettings:
    assert program.key is not None
    return LoadSettings(
        url=program.url,
        key=program.key.pair,
        sender=program.sender,
        count=PER_CALL * 100_000,
        per_call=PER_CALL,
        connections=4,
        rate=RATE,
        accepted=folder / "accepted.tsv",
        patience_s=60.0,
        lifetime_s=200.0,
    )


def plan(chance: random.Random) -> list[str]:
    """Every target at least twice, in random order."""
    targets = [*TARGETS, *TARGETS, *chance.choices(TARGETS, k=KILL_COUNT - 2 * len(TARGETS))]
    chance.shuffle(targets)
    return targets


async def kill(program: Program, target: str, chance: random.Random) -> None:
    """Kill one process of this role (of the database: its postmaster), or everything."""
    if target == "all":
        await program.kill_all()
    elif found := [pid for pid, role in program.processes().items() if role == target]:
        await program.kill(found[0] if target == "postgres" else chance.choice(found))


async def kill_at_random_instants(program: Program, sink: RunningSink, chance: random.Random) -> Counter[str]:
    """Return how often each target was killed, and how often `serve` had to be started again."""
    done: Counter[str] = Counter()
    for target in plan(chance):
        seen = (await sink.counts()).messages
        if chance.random() < FLOWING_RATIO:
            await sink.wait(messages=seen + 1, timeout_s=10.0)
        await sink.wait(messages=seen + chance.randint(1, 400), timeout_s=1.0)
        await kill(program, target, chance)
        print(f"{perf_counter():.3f} killed {target}")
        done[target] += 1
        if not program.serving_pids:
            await program.serve()
            done["serve"] += 1
    return done


def recipients_of(calls: Sequence[AcceptedCall]) -> dict[str, str]:
    """Return each recipient of these calls with its session."""
    return {
        f"u{number:08d}@route{number % ROUTES_COUNT}.example": call.session_no
        for call in calls
        for number in range(call.first, call.first + call.count)
    }


async def ensure_ready(program: Program) -> None:
    """Do what an init system does until it is ready: a start may end by itself when its database is killed under it."""
    for _ in range(STARTS_MAX):
        if not program.serving_pids:
            await program.serve()
        with contextlib.suppress(ProgramError):
            await program.ready()
            return
    await program.ready()


async def drain(program: Program, sink: RunningSink, wanted: set[str]) -> set[str]:
    """Return who of `wanted` never got a message, when none has arrived for `DRAIN_S`.

    How much waits after the last kill depends on how much faster this machine accepts than it signs.
    """
    loop = asyncio.get_running_loop()
    deadline_s, missing_count = loop.time() + DRAIN_S, len(wanted)
    while True:
        seen = await sink.recipients()
        missing = wanted - seen
        if len(missing) < missing_count:
            deadline_s, missing_count = loop.time() + DRAIN_S, len(missing)
        if not missing or loop.time() > deadline_s:
            return missing
        await ensure_ready(program)
        await sink.wait(unique=len(seen) + 1, timeout_s=1.0)


async def row_of(program: Program, recipient: str, session_no: str) -> Any:
    answer = await program.session(session_no)
    return next(row for row in answer["Data"] if row["EmailAddress"] == recipient)


def times_of(folder: Path, recipient: str) -> list[str]:
    """Return when the sink got messages for this recipient, on the clock of the kills that were printed."""
    lines = (folder / "taken.tsv").read_text("utf-8").splitlines()
    return [line.partition("\t")[0] for line in lines if line.endswith(f"\t{recipient}")]


async def load_and_kill(
    program: Program, sink: RunningSink, load: RunningLoad, chance: random.Random
) -> tuple[Counter[str], int]:
    await sink.wait(messages=200, timeout_s=30.0)
    done = await kill_at_random_instants(program, sink, chance)
    await ensure_ready(program)
    report = await load.stop()
    assert not report.error, report
    return done, report.lost_calls


async def test_every_accepted_message_arrives_and_repeats_are_few_and_owned_up_to(folder: Path) -> None:
    seed = int(os.environ.get("OUTRIDER_TEST_SEED") or secrets.randbelow(1_000_000))
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with running(folder) as (program, sink):
        settings = load_settings(program, folder)
        async with running_load(settings) as load:
            done, lost_calls = await load_and_kill(program, sink, load, chance)
        wanted = recipients_of(read_accepted(folder / "accepted.tsv"))
        missing = await drain(program, sink, set(wanted))
        repeated, counts = await sink.repeated(), await sink.counts()
        bound = IN_FLIGHT_MAX * sum(LOSERS.get(target, DELIVER_WORKERS) * count for target, count in done.items())
        print(f"killed {dict(done)}; {len(wanted)} accepted, {lost_calls} calls lost, {counts.messages} arrived")
        print(f"{counts.duplicates} duplicates, at most {bound} allowed")
        for recipient in sorted(missing)[:SHOWN_COUNT]:
            print(f"not arrived: {await row_of(program, recipient, wanted[recipient])}")
        assert not missing, f"seed {seed}: {len(missing)} not arrived, and nothing else for {DRAIN_S} s"
        assert counts.duplicates <= bound, f"seed {seed}"

        untold = []
        for recipient in sorted(repeated & wanted.keys()):
            row = await row_of(program, recipient, wanted[recipient])
            if not any(event.get("TakenOver") for event in row["Events"]):
                untold.append(f"{recipient} at {times_of(folder, recipient)}: {row['Events'][1:]}")
        print("\n".join(f"says nothing: {line}" for line in untold[:SHOWN_COUNT]))
        assert not untold, f"seed {seed}: {len(untold)} of {len(repeated)} repeats say nothing"
        for recipient in chance.sample(sorted(wanted), min(SAMPLE_COUNT, len(wanted))):
            answer = await program.settled(wanted[recipient], DRAIN_S)
            row = next(row for row in answer["Data"] if row["EmailAddress"] == recipient)
            assert row["Status"] == "delivered", f"seed {seed}: {row}"
        await ensure_ready(program)
        await program.stop()

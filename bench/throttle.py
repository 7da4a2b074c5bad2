"""Does the learned rate settle at a provider's limit, and what does a gate cost? Draws bench/throttle.svg.

The story is the one of tests/sim/test_throttle_settles.py: a provider refuses above 5 mails a second for ten minutes,
then takes all; 200 a second are waiting. The picture shows it second by second. The other line is the price of asking a
gate in the node's shared file.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.lines import FOLDER, Line
from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Limits, Rate
from outrider.testing.clock import FakeClock
from outrider.testing.limiter import Story, TokenBucket, Trial, run

PICTURE: Final = FOLDER / "throttle.svg"
LIMIT_PER_S: Final = 5
TRIAL: Final = Trial(latency_s=0.5, senders=20)

_TITLE: Final = f"A provider that answers 421 4.7.28 above {LIMIT_PER_S} mails/s, until minute 10"
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 50, 1000, 420
_Y_MAX: Final = 30.0  # Mails a second at the top; what is higher is cut.
_MEAN_S: Final = 5  # Each point of the counts is the mean of so many seconds.
_COLOURS: Final = {"offered": "#9aa5b1", "accepted": "#2a9d4a", "refused": "#d1343c", "our rate": "#2b5fd9"}


def measure(limit: Line, *, is_quick: bool) -> Iterator[Line]:
    """Play the story and draw it; then ask a gate for a while."""
    del limit  # No signature in it.
    started_s = perf_counter()
    story = run(TRIAL, TokenBucket(LIMIT_PER_S, 10))
    elapsed_s = perf_counter() - started_s
    PICTURE.write_text(draw(story), "utf-8")
    speeds = [story.accepted_per_s(at, at + 30) for at in range(60, 571)]
    lifted = next((at - 600 for at in range(600, 1200) if story.seconds[at].rate >= 3 * LIMIT_PER_S), -1)
    yield Line(
        name="throttle 421 above 5/s",
        n=story.delivered,
        unit="mail",
        rate=round(story.delivered / elapsed_s),
        facts={
            "limit_per_s": LIMIT_PER_S,
            "accepted_per_s_min": round(min(speeds), 2),  # In any 30 s from second 60 to 600.
            "accepted_per_s_max": round(max(speeds), 2),
            "refused_first_minute": story.refused(0, 60),
            "refused_after": story.refused(60, 600),
            "three_times_after_s": lifted,
            "lost": story.offered - story.delivered - story.queued,
            "picture": PICTURE.name,
        },
    )
    yield _ledger(0.2 if is_quick else 2.0)


def draw(story: Story) -> str:
    """Return the story as an SVG picture."""
    seconds = story.seconds
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 30} {_TOP + _HEIGHT + 60}">',
        "<style>text { font: 13px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20">{_TITLE}</text>',
    ]
    for minute in range(0, len(seconds) // 60 + 1, 2):
        x = _x(minute * 60, len(seconds))
        parts.append(_line((x, _y(0)), (x, _y(_Y_MAX)), "#e6e9ed"))
        parts.append(f'<text x="{x:.0f}" y="{_y(0) + 20:.0f}" text-anchor="middle">{minute} min</text>')
    for value in range(0, int(_Y_MAX) + 1, 5):
        parts.append(_line((_LEFT, _y(value)), (_LEFT + _WIDTH, _y(value)), "#e6e9ed"))
        parts.append(f'<text x="{_LEFT - 8}" y="{_y(value) + 4:.0f}" text-anchor="end">{value}/s</text>')
    end = (_x(600, len(seconds)), _y(LIMIT_PER_S))
    parts.append(_line((_LEFT, _y(LIMIT_PER_S)), end, "#000000", extra=' stroke-dasharray="6 4" stroke-width="1.5"'))
    parts.append(f'<text x="{end[0] + 6:.0f}" y="{end[1] + 4:.0f}">the limit</text>')
    curves = {
        "offered": _means([second.attempted for second in seconds]),
        "accepted": _means([second.accepted for second in seconds]),
        "refused": _means([second.refused for second in seconds]),
        "our rate": [(at, second.rate or _Y_MAX) for at, second in enumerate(seconds)],
    }
    for number, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[name]
        path = " ".join(f"{_x(at, len(seconds)):.1f},{_y(value):.1f}" for at, value in points)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>')
        parts.append(f'<text x="{_LEFT + 130 * number}" y="40" fill="{colour}">\u2014 {name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _means(counts: list[int]) -> list[tuple[float, float]]:
    parts = [(at, counts[at : at + _MEAN_S]) for at in range(0, len(counts), _MEAN_S)]
    return [(at + len(part) / 2, sum(part) / len(part)) for at, part in parts]


def _x(at_s: float, end_s: float) -> float:
    return _LEFT + _WIDTH * at_s / end_s


def _y(value: float) -> float:
    return _TOP + _HEIGHT * (1 - min(value, _Y_MAX) / _Y_MAX)


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, *, extra: str = "") -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{colour}"{extra}/>'
    )


def _ledger(wanted_s: float) -> Line:
    limits = Limits(rates=(Rate(1_000_000, 1.0), Rate(60_000_000, 60.0)))
    start_s, key = datetime(2026, 1, 1, tzinfo=UTC).timestamp(), "192.0.2.1 gmail"
    count, started_s = 0, perf_counter()

    def admit(gate: Gate) -> None:
        assert throttle.admit(gate, limits, start_s + count / 1000) is None

    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder, "gates"), 0, clock=FakeClock(), capacity=1024) as ledger,
    ):
        while (elapsed_s := perf_counter() - started_s) < wanted_s:
            for _ in range(100):
                ledger.update(key, admit)
                count += 1
        bare_s = min(_timed(lambda: ledger.update(key, lambda _: None)) for _ in range(5))
        read_s = min(_timed(lambda: ledger.read(key)) for _ in range(5))
    return Line(
        name="throttle admit, shared file",
        n=count,
        unit="mail",
        rate=round(count / elapsed_s),
        cpu_us={"admit": round(elapsed_s / count * 1e6, 1)},
        facts={"update_us": round(bare_s * 1e6, 2), "read_us": round(read_s * 1e6, 2)},
    )


def _timed(work: object) -> float:
    assert callable(work)
    started_s = perf_counter()
    for _ in range(1000):
        work()
    return (perf_counter() - started_s) / 1000

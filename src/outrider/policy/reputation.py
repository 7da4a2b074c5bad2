"""How mail is seen by those who get it, in words: good, watch, bad. Pure; the thresholds are data with their sources.

    measure                         watch      bad      from so many mails on
    complaints of delivered       >= 0.1 %  >= 0.3 %    500
    hard bounces                    > 2 %     > 5 %     100
    deferrals of attempts           > 5 %    > 20 %     100
    unsubscribes of delivered       > 0.5 %   > 1 %     500

With fewer mails nothing is said: "unknown", too few to tell. A single complaint only makes one watch: in 500 mails it
is 0.2 %, and chance. A whole is as bad as the worst of its measures.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from outrider.policy import alerts
from outrider.policy.alerts import Measure


class Level(enum.StrEnum):
    """How it is, and so whether to do something."""

    UNKNOWN = "unknown"  # Too few mails to tell.
    GOOD = "good"
    WATCH = "watch"
    BAD = "bad"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a measure is no longer good."""

    measure: Measure
    watch: float
    bad: float
    mails_min: int
    is_reached: bool = False  # The bound itself is too much already.
    source: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One measure, judged."""

    measure: Measure
    level: Level
    value: float | None  # A share; None: no mail to make one of.
    mail_count: int  # How many it speaks of.
    watch: float
    bad: float
    sentence: str


BOUNDS: Final = (
    Bounds(
        measure=Measure.COMPLAINT_RATE,
        watch=0.001,
        bad=0.003,
        mails_min=500,
        is_reached=True,
        source="Google 81126 (below 0.1 %, never 0.3 %), Yahoo Sender Hub (below 0.3 %): providers.md 1.1",
    ),
    Bounds(
        measure=Measure.HARD_BOUNCE_RATE,
        watch=0.02,
        bad=0.05,
        mails_min=100,
        source="Postmark (2 % warned of); SparkPost, Momentum (5 %): providers.md 2.1, 2.2 rule 7",
    ),
    Bounds(
        measure=Measure.DEFERRAL_RATE,
        watch=0.05,
        bad=0.2,
        mails_min=100,
        source="providers.md 1.4: warm-ups advance below 5 %; Momentum stops at 20 %",
    ),
    Bounds(
        measure=Measure.UNSUBSCRIBE_RATE,
        watch=0.005,
        bad=0.01,
        mails_min=500,
        source="Ours: who leaves does no harm, who calls it spam instead does",
    ),
)
METRICS: Final = tuple(dict.fromkeys(name for one in BOUNDS for name in alerts.metrics(one.measure)))
_RANK: Final = {level: rank for rank, level in enumerate(Level)}
_COMPLAINTS_COUNT_MIN: Final = 2  # Ours, as in `policy.guard`.
_ADVICE: Final = {
    (Measure.COMPLAINT_RATE, Level.WATCH): "Providers want less than 0.1 %: look at whom you write to, and how often.",
    (Measure.COMPLAINT_RATE, Level.BAD): "Gmail and Yahoo refuse senders at 0.3 %: stop what draws complaints now.",
    (Measure.HARD_BOUNCE_RATE, Level.WATCH): "The list has old or mistyped addresses: clean it.",
    (Measure.HARD_BOUNCE_RATE, Level.BAD): "Lists like this one get senders blocked: stop, and clean it first.",
    (Measure.DEFERRAL_RATE, Level.WATCH): "Providers slow this mail down: look at the reasons.",
    (Measure.DEFERRAL_RATE, Level.BAD): "Providers hold this mail up: send less, and look at the reasons.",
    (Measure.UNSUBSCRIBE_RATE, Level.WATCH): "More readers leave than usual: look at what they were sent.",
    (Measure.UNSUBSCRIBE_RATE, Level.BAD): "Many readers leave: write less often, or to those who asked for it.",
}


def judge(sums: Mapping[str, int]) -> Sequence[Judged]:
    """Judge each measure by the sums of `METRICS`, in the order of `BOUNDS`. What is missing is 0."""
    return [_judge_one(bounds, sums) for bounds in BOUNDS]


def worst(judged: Iterable[Judged]) -> Level:
    """Return the worst level among these; UNKNOWN where nothing can be told."""
    return max((one.level for one in judged), key=_RANK.__getitem__, default=Level.UNKNOWN)


def _judge_one(bounds: Bounds, sums: Mapping[str, int]) -> Judged:
    reading = alerts.read(bounds.measure, sums)
    value, count = reading.value, reading.mail_count
    level = Level.UNKNOWN
    if value is not None and count >= bounds.mails_min:
        level = _level(bounds, value, sums)
    return Judged(
        measure=bounds.measure,
        level=level,
        value=value,
        mail_count=count,
        watch=bounds.watch,
        bad=bounds.bad,
        sentence=_sentence(bounds, level, value, count),
    )


def _level(bounds: Bounds, value: float, sums: Mapping[str, int]) -> Level:
    if _is_over(value, bounds.bad, bounds):
        is_chance = bounds.measure is Measure.COMPLAINT_RATE and sums.get("complained", 0) < _COMPLAINTS_COUNT_MIN
        return Level.WATCH if is_chance else Level.BAD
    return Level.WATCH if _is_over(value, bounds.watch, bounds) else Level.GOOD


def _is_over(value: float, bound: float, bounds: Bounds) -> bool:
    return value >= bound if bounds.is_reached else value > bound


def _sentence(bounds: Bounds, level: Level, value: float | None, count: int) -> str:
    words = bounds.measure.value.removesuffix("_rate").replace("_", " ") + "s"
    if level is Level.UNKNOWN:
        return f"{words.capitalize()}: {count:,} mails are too few to tell; it takes {bounds.mails_min:,}."
    said = f"{words.capitalize()}: {alerts.shown(bounds.measure, value)} of {count:,} mails"
    if level is Level.GOOD:
        return f"{said}; below {alerts.shown(bounds.measure, bounds.watch)} is good."
    return f"{said}. {_ADVICE[bounds.measure, level]}"

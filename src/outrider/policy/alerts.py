"""When a figure of a project's raises an alert, and when that ends. Pure.

    metrics(measure)               which figures it needs, of those that are counted from the event log
    read(measure, sums)            from their sums over a window to its value, and how many mails that speaks of
    decide(rule, reading, ...)     raised, or not, from now on

    it was    it is raised when                              it ends when
    quiet     the value is beyond the threshold, and the     -
              window has `mails_min` mails
    raised    -                                              the value is a tenth on the good side of the threshold,
                                                             or the window has no mail left that could say anything

Between the two nothing changes, so a value that swings about its threshold tells nobody twice. With fewer than
`mails_min` mails a raised alert stays. A count ("delivered", "accepted") is known whatever was sent: it needs no mails,
but a whole window since the alert was made, or every new "fewer than" would be raised at once.

A rate is a share from 0 to 1; a time is in seconds, and needs mails as a rate does. What bounces "hard" and "soft" is
said where the metrics are counted.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.policy import figures

_NEAR: Final = 0.1  # Ours: of the threshold; so far on the good side is good again.
_COUNT_MAX: Final = 1e12  # Ours: above all counts.
_TIME_S_MAX: Final = 7 * 86_400.0  # Ours: nothing is tried for longer.


class Measure(enum.StrEnum):
    """What is watched."""

    COMPLAINT_RATE = "complaint_rate"
    HARD_BOUNCE_RATE = "hard_bounce_rate"
    BOUNCE_RATE = "bounce_rate"
    DEFERRAL_RATE = "deferral_rate"
    DELIVERY_RATE = "delivery_rate"
    UNSUBSCRIBE_RATE = "unsubscribe_rate"
    OPEN_RATE = "open_rate"
    CLICK_RATE = "click_rate"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    TIME_TO_INBOX_P95 = "time_to_inbox_p95"


class Side(enum.StrEnum):
    """Which side of the threshold is bad."""

    ABOVE = "above"
    BELOW = "below"


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched, of which mail, and what is too much. "" and None do not restrict."""

    measure: Measure
    threshold: float  # A share from 0 to 1 of a rate, seconds of a time, else a count.
    side: Side = Side.ABOVE
    window_s: Annotated[int, Meta(ge=limits.ALERT_WINDOW_S_MIN, le=limits.ALERT_WINDOW_S_MAX)] = 3600
    mails_min: Annotated[int, Meta(ge=1, le=limits.ALERT_MAILS_COUNT_MAX)] = (
        100  # In the window; fewer say nothing of a rate or a time.
    )
    stream: Stream | None = None
    domain: str = ""  # The sending domain.
    campaign: str = ""
    provider: str = ""  # At most one of this and the next.
    ip: str = ""  # The address that it was sent from.


class Reading(msgspec.Struct, frozen=True):
    """What the figures of a window say."""

    value: float | None  # None: there was no mail to make a rate or a time of.
    mail_count: int  # How many it speaks of.


class Offered(msgspec.Struct, frozen=True):
    """An alert that everybody should have."""

    name: str
    rule: AlertRule


_ENDED: Final = ("delivered", "bounced_hard", "bounced_soft")
# What is counted, and of how many; () is a count.
_PARTS: Final[Mapping[Measure, tuple[Sequence[str], Sequence[str]]]] = {
    Measure.COMPLAINT_RATE: (("complained",), ("delivered",)),
    Measure.HARD_BOUNCE_RATE: (("bounced_hard",), _ENDED),
    Measure.BOUNCE_RATE: (("bounced_hard", "bounced_soft"), _ENDED),
    Measure.DEFERRAL_RATE: (("deferred",), ("deferred", *_ENDED)),
    Measure.DELIVERY_RATE: (("delivered",), _ENDED),
    Measure.UNSUBSCRIBE_RATE: (("unsubscribed",), ("delivered",)),
    Measure.OPEN_RATE: (("opens_human_unique",), ("delivered",)),
    Measure.CLICK_RATE: (("clicks_human_unique",), ("delivered",)),
    Measure.ACCEPTED: (("accepted",), ()),
    Measure.DELIVERED: (("delivered",), ()),
    Measure.BOUNCED: (("bounced_hard", "bounced_soft"), ()),
    Measure.COMPLAINED: (("complained",), ()),
    Measure.TIME_TO_INBOX_P95: (figures.BUCKETS, ()),
}
_DAY_S: Final = 86_400
# Sources: providers.md 1.1 (Gmail: below 0.1 %, never 0.3 %; Yahoo: below 0.3 %), 2.2 rule 7 and 2.1, Postmark (bounces
# above 2 %). 20 % of attempts deferred: 1.4, Momentum. The mails are ours: with fewer, one more is chance.
DEFAULTS: Final = (
    Offered(
        "Complaints above 0.1 %",
        AlertRule(measure=Measure.COMPLAINT_RATE, threshold=0.001, window_s=_DAY_S, mails_min=1000),
    ),
    Offered(
        "Complaints above 0.3 %",
        AlertRule(measure=Measure.COMPLAINT_RATE, threshold=0.003, window_s=_DAY_S, mails_min=500),
    ),
    Offered(
        "Hard bounces above 2 %",
        AlertRule(measure=Measure.HARD_BOUNCE_RATE, threshold=0.02, window_s=_DAY_S, mails_min=500),
    ),
    Offered(
        "Deferrals above 20 %",
        AlertRule(measure=Measure.DEFERRAL_RATE, threshold=0.2, window_s=3600, mails_min=200),
    ),
    Offered(
        "Deliveries below 90 %",
        AlertRule(measure=Measure.DELIVERY_RATE, threshold=0.9, side=Side.BELOW, window_s=_DAY_S, mails_min=200),
    ),
)


def is_rate(measure: Measure) -> bool:
    """Whether its value is a share from 0 to 1; else it is a count."""
    return bool(_PARTS[measure][1])


def is_time(measure: Measure) -> bool:
    """Whether its value is in seconds."""
    return measure is Measure.TIME_TO_INBOX_P95


def metrics(measure: Measure) -> Sequence[str]:
    """Return the metrics that `read` wants the sums of, each once."""
    counted, of = _PARTS[measure]
    return tuple(dict.fromkeys((*counted, *of)))


def read(measure: Measure, sums: Mapping[str, int]) -> Reading:
    """Return what these sums say; a metric that is missing is 0. A share is 1 at most.

    A complaint often comes on another day than the delivery that it is about.
    """
    if is_time(measure):
        taken = figures.inbox(sums)
        return Reading(taken.p95_s, taken.deliveries)
    counted, of = _PARTS[measure]
    count = sum(sums.get(metric, 0) for metric in counted)
    if not of:
        return Reading(float(count), count)
    whole = sum(sums.get(metric, 0) for metric in of)
    return Reading(min(1.0, count / whole) if whole else None, whole)


def decide(rule: AlertRule, reading: Reading, *, is_raised: bool, is_whole: bool) -> bool:
    """Return whether the alert is raised from now on, that was or was not so far. Total.

    Args:
        is_whole: the alert has been there for a window.
    """
    value = reading.value
    if value is None:
        return False
    if is_raised:
        if _needs_mails(rule.measure) and reading.mail_count < rule.mails_min:
            return True
        return not _is_good(rule, value)
    if _needs_mails(rule.measure):
        return reading.mail_count >= rule.mails_min and _is_bad(rule, value)
    return (is_whole or rule.side is Side.ABOVE) and _is_bad(rule, value)


def check(rule: AlertRule) -> None:
    """Raise CallerError if the rule makes no sense: `field` names what is wrong."""
    most, wanted = _bounds(rule.measure)
    if not 0 <= rule.threshold <= most:  # NaN too.
        raise CallerError(wanted, field="threshold")
    if rule.side is Side.BELOW and rule.threshold == 0:
        raise CallerError("Nothing is below 0.", field="threshold")
    if not limits.ALERT_WINDOW_S_MIN <= rule.window_s <= limits.ALERT_WINDOW_S_MAX:
        raise CallerError("A window is five minutes to seven days, in seconds.", field="window_s")
    if not 1 <= rule.mails_min <= limits.ALERT_MAILS_COUNT_MAX:
        raise CallerError(f"1 to {limits.ALERT_MAILS_COUNT_MAX:,} mails.", field="mails_min")
    if rule.provider and rule.ip:
        raise CallerError("Of one provider or of one address, not both.", field="ip")
    # By where mail went: a call is counted before anybody knows that, and what readers do comes later.
    if (rule.provider or rule.ip) and rule.measure is Measure.ACCEPTED:
        raise CallerError("Mail that was only accepted has no provider and no address yet.", field="measure")
    if rule.campaign and is_time(rule.measure):
        raise CallerError("How long mail takes is not counted by campaign.", field="campaign")


def shown(measure: Measure, value: float | None) -> str:
    """Return a value for people: "0.12 %", "1,200", "95.1 s", "none" where there was no mail."""
    if value is None:
        return "none"
    if is_time(measure):
        return f"{value:,.1f} s"
    return f"{100 * value:.3g} %" if is_rate(measure) else f"{value:,.0f}"


def sentence(rule: AlertRule, reading: Reading) -> str:
    """Say what the figures are, and what they may be, in one sentence."""
    words = rule.measure.value.replace("_", " ")
    of = f" of {reading.mail_count:,} mails" if _needs_mails(rule.measure) else ""
    most = shown(rule.measure, rule.threshold)
    allowed = f"more than {most}" if rule.side is Side.ABOVE else f"less than {most}"
    window = span(rule.window_s).removeprefix("1 ")
    return (
        f"{words.capitalize()}: {shown(rule.measure, reading.value)}{of} in the last {window}{_filters(rule)};"
        f" {allowed} raises this alert."
    )


def span(window_s: int) -> str:
    """Return a window for people: "5 minutes", "1 hour", "7 days"."""
    for unit_s, unit in ((_DAY_S, "day"), (3600, "hour"), (60, "minute")):
        if window_s >= unit_s and window_s % unit_s == 0:
            count = window_s // unit_s
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{window_s} seconds"


def _bounds(measure: Measure) -> tuple[float, str]:
    """Return the highest threshold, and what one is."""
    if is_rate(measure):
        return 1.0, "A share: 0.001 is 0.1 %."
    if is_time(measure):
        return _TIME_S_MAX, "Seconds, at most seven days of them."
    return _COUNT_MAX, "A count of 0 or more."


def _needs_mails(measure: Measure) -> bool:
    """Whether few mails say nothing of it."""
    return is_rate(measure) or is_time(measure)


def _is_bad(rule: AlertRule, value: float) -> bool:
    return value > rule.threshold if rule.side is Side.ABOVE else value < rule.threshold


def _is_good(rule: AlertRule, value: float) -> bool:
    """Whether it is so far on the good side that it does not swing back; a share below 1 may have to be 1."""
    if rule.side is Side.ABOVE:
        return value <= rule.threshold * (1 - _NEAR)
    better = rule.threshold * (1 + _NEAR)
    if is_rate(rule.measure):  # 90 % delivered: a tenth of what is missing, not of what is there.
        better = rule.threshold + (1 - rule.threshold) * _NEAR
    return value >= better


def _filters(rule: AlertRule) -> str:
    stream = "" if rule.stream is None else rule.stream.value
    given = (
        ("stream", stream),
        ("domain", rule.domain),
        ("campaign", rule.campaign),
        ("provider", rule.provider),
        ("address", rule.ip),
    )
    words = ", ".join(f"{name} {value}" for name, value in given if value)
    return f" ({words})" if words else ""

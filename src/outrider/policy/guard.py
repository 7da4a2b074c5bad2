"""When a campaign, a project or a domain does harm and must be warned, slowed or stopped. Pure.

It is given counts of a few windows (some hours, the day) and judges the worst of them.
Bounces are only those to addresses that do not exist (`INVALID`): a block list or a full mailbox says nothing about the
list of addresses. It counts nothing, stops nothing and remembers nothing: its callers do (`engine.guard`).

    share of mails            warn      slow     pause
    to unknown addresses     > 2 %     > 4 %     > 5 %
    complained about      > 0.08 %   > 0.2 %   > 0.3 %

A window of fewer than 500 mails is passed over, and a single complaint only warns: it is above any share, and chance.
What was paused sends nothing that could show it in a better light, so fewer than that end no pause; a person does.
Source: providers.md 2.2, rule 7, and 2.1, Postmark ("4 % serious"); 1.4, Momentum (slow at 0.2 % complaints).
"""

import enum
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

import msgspec

from outrider.policy.reason import Reason


class GuardLevel(enum.StrEnum):
    """How bad it is, and so what is to be done."""

    OK = "ok"
    WARN = "warn"  # Somebody is told.
    SLOW = "slow"  # It goes on at a lower rate.
    PAUSE = "pause"  # It stops until a person lets it go on, or 500 mails and more show that it may.


class Window(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was sent in some time, and what came of it."""

    name: str  # As it reads in a sentence: "the last hour", "the last day".
    sent_count: int
    invalid_count: int = 0  # Refused: no such address.
    complaint_count: int = 0


class GuardVerdict(msgspec.Struct, frozen=True, gc=False):
    """What the guard says, and why."""

    level: GuardLevel
    sentence: str  # "" if all is well.


class _Bound(msgspec.Struct, frozen=True):
    level: GuardLevel
    ratio_max: Fraction  # Exact: 25 of 500 are not more than 5 %.
    count_min: int = 1


SENT_COUNT_MIN: Final = 500  # providers.md 2.2, rule 7.
SLOW_PER_MINUTE: Final = 20  # Ours: the 500 mails that can show it in a better light take 25 minutes.
INVALID: Final = frozenset({Reason.RECIPIENT_INVALID, Reason.RECIPIENT_DOMAIN_INVALID, Reason.RECIPIENT_DISABLED})
_COMPLAINTS_COUNT_MIN: Final = 2  # Ours, as in `policy.warmup`: one complaint in 500 mails is 0.2 %.
_RANK: Final = {level: rank for rank, level in enumerate(GuardLevel)}  # Declared from good to bad.
_INVALID: Final = (  # Worst first.
    _Bound(GuardLevel.PAUSE, Fraction("0.05")),
    _Bound(GuardLevel.SLOW, Fraction("0.04")),
    _Bound(GuardLevel.WARN, Fraction("0.02")),
)
_COMPLAINED: Final = (
    _Bound(GuardLevel.PAUSE, Fraction("0.003"), _COMPLAINTS_COUNT_MIN),
    _Bound(GuardLevel.SLOW, Fraction("0.002"), _COMPLAINTS_COUNT_MIN),
    _Bound(GuardLevel.WARN, Fraction("0.0008")),
)
_OK: Final = GuardVerdict(GuardLevel.OK, "")


def judge(windows: Iterable[Window], *, complained_max: GuardLevel = GuardLevel.PAUSE) -> GuardVerdict:
    """Return the worst of what the windows say; the first of them where several are as bad. Total.

    Args:
        complained_max: the most that complaints may lead to.
    """
    verdicts = (verdict for window in windows for verdict in _judge_one(window, complained_max))
    return max(verdicts, key=_rank_of, default=_OK)


def decide(
    before: GuardVerdict, windows: Sequence[Window], *, complained_max: GuardLevel = GuardLevel.PAUSE
) -> GuardVerdict:
    """Return what holds from now on, after `before`: as `judge`, but a pause stays while no window has enough mails."""
    if before.level is GuardLevel.PAUSE and all(window.sent_count < SENT_COUNT_MIN for window in windows):
        return before
    return judge(windows, complained_max=complained_max)


def _judge_one(window: Window, complained_max: GuardLevel) -> Iterable[GuardVerdict]:
    if window.sent_count < SENT_COUNT_MIN:
        return
    yield _verdict(window, window.invalid_count, _INVALID, "went to addresses that do not exist")
    complained = _verdict(window, window.complaint_count, _COMPLAINED, "were called spam by their readers")
    yield GuardVerdict(min(complained.level, complained_max, key=_RANK.__getitem__), complained.sentence)


def _verdict(window: Window, count: int, bounds: Iterable[_Bound], words: str) -> GuardVerdict:
    for bound in bounds:
        if count >= bound.count_min and count > bound.ratio_max * window.sent_count:
            share = f"{100 * count / window.sent_count:.2g} %, over {float(100 * bound.ratio_max):g} %"
            return GuardVerdict(bound.level, f"{count} of {window.sent_count} mails in {window.name} {words}: {share}.")
    return _OK


def _rank_of(verdict: GuardVerdict) -> int:
    return _RANK[verdict.level]

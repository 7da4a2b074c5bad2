"""When a campaign, a project or a domain does harm and must be warned, slowed or stopped. Pure.

It is given counts of a few windows (the last hour, the day, the campaign) and judges the worst of them. Bounces are
only those to addresses that do not exist (`recipient.invalid`): a block list or a full mailbox says nothing about the
list of addresses. It counts nothing, stops nothing and remembers nothing: its callers do.

    share of mails            warn      slow     pause
    to unknown addresses     > 2 %     > 4 %     > 5 %
    complained about      > 0.08 %   > 0.2 %   > 0.3 %

A window of fewer than 500 mails is passed over, and a single complaint only warns: it is above any share, and chance.
Source: providers.md 2.2, rule 7, and 2.1, Postmark ("4 % serious"); 1.4, Momentum (slow at 0.2 % complaints).
"""

import enum
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

import msgspec


class GuardLevel(enum.StrEnum):
    """How bad it is, and so what is to be done."""

    OK = "ok"
    WARN = "warn"  # Somebody is told.
    SLOW = "slow"  # It goes on at a lower rate.
    PAUSE = "pause"  # It stops until a person lets it go on.


class Window(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was sent in some time, and what came of it."""

    name: str  # As it reads in a sentence: "the last hour", "this campaign".
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


def judge(windows: Iterable[Window]) -> GuardVerdict:
    """Return the worst of what the windows say; the first of them where several are as bad. Total."""
    return max((verdict for window in windows for verdict in _judge_one(window)), key=_rank_of, default=_OK)


def _judge_one(window: Window) -> Iterable[GuardVerdict]:
    if window.sent_count < SENT_COUNT_MIN:
        return
    yield _verdict(window, window.invalid_count, _INVALID, "went to addresses that do not exist")
    yield _verdict(window, window.complaint_count, _COMPLAINED, "were called spam by their readers")


def _verdict(window: Window, count: int, bounds: Iterable[_Bound], words: str) -> GuardVerdict:
    for bound in bounds:
        if count >= bound.count_min and count > bound.ratio_max * window.sent_count:
            share = f"{100 * count / window.sent_count:.2g} %, over {float(100 * bound.ratio_max):g} %"
            return GuardVerdict(bound.level, f"{count} of {window.sent_count} mails in {window.name} {words}: {share}.")
    return _OK


def _rank_of(verdict: GuardVerdict) -> int:
    return _RANK[verdict.level]

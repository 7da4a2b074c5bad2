"""A provider that refuses above 5 mails/s: the learned rate settles at its limit, stays there, and rises when it goes.

Played with `outrider.testing.limiter`: three ways of counting, replies that take 0.05 to 2 s, 1 to 20 senders, 200
mails a second waiting. Seen with seeds 1 to 4, from second 60 to 600: 4.57 to 5.10 accepted a second in every 30 s
(4.77 at least where the provider does not count each second anew), and 23 to 42 of about 2,700 refused.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

from outrider.testing.limiter import FixedWindow, Limiter, SlidingWindow, Story, TokenBucket, Trial, run

LIMIT_PER_S = 5
WINDOW_S = 30
REFUSED_RATIO_MAX = 0.02
SHAPES: dict[str, Callable[[], Limiter]] = {
    "token bucket, burst 10": lambda: TokenBucket(LIMIT_PER_S, 10),
    "sliding second": lambda: SlidingWindow(LIMIT_PER_S, 1.0),
    "windows of 10 s": lambda: FixedWindow(LIMIT_PER_S * 10, 10.0),
}
FAST_ENOUGH = [(0.05, 1), (0.05, 20), (0.5, 5), (0.5, 20), (2.0, 20)]  # Reply latency in seconds, senders.
TOO_SLOW = [(0.5, 1), (2.0, 5)]


def play(shape: str, latency_s: float, senders: int, *, end_s: float) -> Story:
    return run(Trial(latency_s=latency_s, senders=senders, end_s=end_s), SHAPES[shape]())


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("latency_s", "senders"), FAST_ENOUGH)
def test_it_settles_within_a_minute_and_stays(shape: str, latency_s: float, senders: int) -> None:
    story = play(shape, latency_s, senders, end_s=600)
    speeds = [story.accepted_per_s(at, at + WINDOW_S) for at in range(60, 600 - WINDOW_S + 1)]
    assert min(speeds) >= 0.9 * LIMIT_PER_S
    assert max(speeds) <= 1.1 * LIMIT_PER_S
    assert story.refused(60, 600) <= REFUSED_RATIO_MAX * 540 * LIMIT_PER_S
    assert story.delivered + story.queued == story.offered


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("latency_s", "senders"), [(0.05, 5), (0.5, 20)])
def test_it_climbs_by_degrees_when_the_limit_goes(shape: str, latency_s: float, senders: int) -> None:
    story = play(shape, latency_s, senders, end_s=1200)
    rates = [second.rate for second in story.seconds]
    assert story.refused(605, 1200) == 0
    assert all(before <= after < 2 * before for before, after in pairwise(rates[605:]))
    assert rates[630] < 2 * LIMIT_PER_S
    assert max(rates[:900]) >= 3 * LIMIT_PER_S
    assert story.accepted_per_s(900, 930) >= 3 * LIMIT_PER_S * 0.95
    assert story.delivered + story.queued == story.offered


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("latency_s", "senders"), TOO_SLOW)
def test_who_never_reaches_the_limit_is_never_slowed(shape: str, latency_s: float, senders: int) -> None:
    story = play(shape, latency_s, senders, end_s=300)
    assert story.refused(0, 300) == 0
    assert story.seconds[-1].rate == 0
    assert story.accepted_per_s(60, 300) > 0.8 * senders / (latency_s + 0.02)


class ShutFor:
    """Takes 20 a second, but nothing in the given time."""

    def __init__(self, from_s: float, until_s: float) -> None:
        self.bucket = TokenBucket(20, 10)
        self.from_s, self.until_s = from_s, until_s

    def takes(self, now_s: float) -> bool:
        is_shut = self.from_s <= now_s - 1_800_000_000.0 < self.until_s
        return not is_shut and self.bucket.takes(now_s)


@pytest.mark.slow
def test_a_provider_that_was_shut_is_found_again_at_its_old_speed() -> None:
    story = run(Trial(latency_s=0.5, senders=60, lifted_at_s=1e9, end_s=600), ShutFor(200, 300))
    assert story.refused(240, 300) < 60
    assert story.seconds[299].rate < 0.5
    assert story.accepted_per_s(570, 600) > 10


class Lowered:
    """Takes 20 a second, then 5."""

    def __init__(self, at_s: float) -> None:
        self.before, self.after, self.at_s = TokenBucket(20, 10), TokenBucket(5, 10), at_s

    def takes(self, now_s: float) -> bool:
        limiter = self.before if now_s - 1_800_000_000.0 < self.at_s else self.after
        return limiter.takes(now_s)


@pytest.mark.slow
def test_a_lowered_limit_is_followed_within_a_minute() -> None:
    story = run(Trial(latency_s=0.5, senders=60, lifted_at_s=1e9, end_s=500), Lowered(200))
    assert story.accepted_per_s(100, 200) == pytest.approx(20, rel=0.1)
    assert all(story.accepted_per_s(at, at + 30) == pytest.approx(5, rel=0.1) for at in range(260, 470))


def test_the_same_seed_tells_the_same_story() -> None:
    trial = Trial(latency_s=0.5, senders=5, end_s=60, seed=7)
    stories = [run(trial, TokenBucket(5, 10)) for _ in range(2)]
    assert stories[0] == stories[1]

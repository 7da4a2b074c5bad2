"""The connections of a node's gates, as its processes take and give them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from outrider.base.vocab import WaitKind
from outrider.engine.slots import NodeSlots, gate_key, pool_name, slot_key
from outrider.net.ledger import Ledger
from outrider.net.site import Host, Site
from outrider.policy.shaping import Limits, Place, Rate
from outrider.testing.clock import FakeClock, turns
from outrider.testing.slots import check_slots

SITE = Site("mx.a.example", (Host("mx.a.example", ("127.0.0.1",)),))
BELOW = slot_key(Place("big", "big"), SITE, Limits(connections_per_site=1))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def both(tmp_path: Path, clock: FakeClock) -> Iterator[list[NodeSlots]]:
    """Two processes of one node."""
    with ExitStack() as stack:
        yield [
            NodeSlots(
                stack.enter_context(Ledger(tmp_path / "gates", slot, clock=clock, capacity=64)), slot=slot, clock=clock
            )
            for slot in range(2)
        ]


def expect(slots: NodeSlots, limits: Limits, *keys: str) -> None:
    for key in keys or ("key",):
        slots.expect("one", key, limits)


def test_they_keep_what_slots_must(both: list[NodeSlots]) -> None:
    one, _ = both
    one.expect("two", "key", Limits(connections=3))
    expect(one, Limits(connections=3), "key", "other")
    check_slots(one, count_max=3)


def test_a_limit_is_the_nodes(both: list[NodeSlots], clock: FakeClock) -> None:
    one, other = both
    for slots in both:
        expect(slots, Limits(connections=2))
    assert one.take("one", "key")
    assert other.take("one", "key")
    assert not one.take("one", "key")
    assert one.refusal is not None
    assert (one.refusal.kind, one.refusal.sentence) == (WaitKind.CONNECTIONS, "2 of 2 connections in use")
    other.give("one", "key")
    clock.advance(0.05)  # What another process gives back is not heard, it is looked for.
    assert one.take("one", "key")
    assert one.refusal is None


def test_a_site_counts_at_its_provider_too(both: list[NodeSlots]) -> None:
    one, _ = both
    other_site, third_site = BELOW.replace("mx.a", "mx.b"), BELOW.replace("mx.a", "mx.c")
    expect(one, Limits(connections=2, connections_per_site=1), BELOW, other_site, third_site)
    assert one.take("one", BELOW)
    assert not one.take("one", BELOW)
    assert one.refused_key == BELOW
    assert one.take("one", other_site), "what the site refused was given back to the provider"
    assert not one.take("one", third_site)
    assert one.refused_key == "big"
    one.give("one", BELOW)
    one.give("one", other_site)
    assert one.take("one", BELOW)


def test_a_rate_of_connections_says_when_the_next_may_be(both: list[NodeSlots], clock: FakeClock) -> None:
    one, _ = both
    expect(one, Limits(connections=9, connection_rate=Rate(1, 60)))
    assert one.take("one", "key")
    assert not one.take("one", "key")
    assert one.refusal is not None
    assert "1/min new connections" in one.refusal.sentence
    assert one.refusal.until_s > clock.now().timestamp() + 59


def test_a_site_that_is_full_costs_its_provider_no_new_connection(both: list[NodeSlots], clock: FakeClock) -> None:
    one, _ = both
    other_site = BELOW.replace("mx.a", "mx.b")
    expect(one, Limits(connections=9, connections_per_site=1, connection_rate=Rate(1, 60)), BELOW, other_site)
    assert one.take("one", BELOW)
    clock.advance(90)
    for _ in range(20):
        clock.advance(0.05)
        assert not one.take("one", BELOW)
        assert one.refused_key == BELOW
    assert one.take("one", other_site)
    one.give("one", other_site)
    assert not one.take("one", other_site), "one a minute, of the provider"
    assert one.refused_key == "big"
    clock.advance(90)
    assert one.take("one", other_site), "what the provider refused was given back to the site"


async def test_who_has_all_yields_to_who_has_none(both: list[NodeSlots], clock: FakeClock) -> None:
    one, other = both
    for slots in both:
        expect(slots, Limits(connections=2))
    assert one.take("one", "key")
    assert one.take("one", "key")
    assert not one.should_yield("one", "key")
    assert not other.take("one", "key")
    assert not one.should_yield("one", "key"), "asked a moment ago"
    clock.advance(0.06)
    await turns()
    assert one.should_yield("one", "key")
    assert not other.should_yield("one", "key")
    one.give("one", "key")
    assert other.take("one", "key")


def test_keys_read_as_in_the_page() -> None:
    assert gate_key(pool_name("marketing"), "gmail") == "pool:marketing|gmail"
    assert slot_key(Place("gmail", "gmail"), SITE, Limits()) == "gmail"
    assert BELOW == "big\tmx.a.example"

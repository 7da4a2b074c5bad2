"""Sending domains: claimed by many, proven by one."""

from datetime import timedelta

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import MtaSts, RecordState, Stream
from outrider.policy.standing import Standing
from outrider.store import domains
from outrider.store.domains import Domain, Options, Stopped, Terms
from outrider.store.pool import Store, StoreValueError
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


@pytest.fixture
async def claims(store: Store, clock: FakeClock, mailroom: Mailroom) -> list[Domain]:
    """Give one name, claimed by two projects, proven by none."""
    found = [
        Domain(mailroom.new_id(), await mailroom.project(name), "shop.example", clock.now()) for name in ("one", "two")
    ]
    async with store.transaction() as tx:
        for domain in found:
            await domains.insert(tx, domain)
    return found


async def test_two_may_claim_and_one_may_verify(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await domains.verify(tx, second.project_id, second.domain_id, now=clock.now())
    assert caught.value.detail["constraint"] == "domain_verified_elsewhere"
    async with store.transaction() as tx:
        kept = await domains.by_name(tx, second.project_id, "shop.example")
    assert kept == second, "the loser stays unverified"


async def test_a_third_may_claim_what_is_proven_but_not_prove_it(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, *_ = claims
    third = Domain(mailroom.new_id(), await mailroom.project("three"), "shop.example", clock.now())
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        await domains.insert(tx, third)
    proven = msgspec.structs.replace(
        third, domain_id=mailroom.new_id(), project_id=await mailroom.project("four"), verified_at=clock.now()
    )
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await domains.insert(tx, proven)


async def test_verifying_twice_keeps_the_first_instant(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, *_ = claims
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now() + timedelta(days=1))
        found = await domains.by_name(tx, first.project_id, "shop.example")
    assert found is not None
    assert found.verified_at == clock.now()


async def test_nobody_verifies_for_another(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        await domains.verify(tx, second.project_id, first.domain_id, now=clock.now())
        assert await domains.by_name(tx, first.project_id, "shop.example") == first


async def test_a_project_has_a_name_once(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    again = msgspec.structs.replace(claims[0], domain_id=mailroom.new_id())
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await domains.insert(tx, again)
    assert caught.value.detail["constraint"] == "domain_name_taken"


async def test_a_project_sees_its_own_by_name(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    first, _ = claims
    earlier = msgspec.structs.replace(first, domain_id=mailroom.new_id(), name="a.example")
    async with store.transaction() as tx:
        await domains.insert(tx, earlier)
        assert await domains.of_project(tx, first.project_id) == [earlier, first]
        assert await domains.by_name(tx, first.project_id, "none.example") is None


async def test_a_rate_is_one_projects_and_may_go_again(store: Store, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        for rate in (1, 60, 1_000_000, None):
            await domains.set_rate(tx, first.project_id, "shop.example", rate)
            assert await domains.by_name(tx, first.project_id, "shop.example") == msgspec.structs.replace(
                first, rate_per_minute=rate
            )
            assert await domains.of_project(tx, second.project_id) == [second]
        await domains.set_rate(tx, first.project_id, "none.example", 5)


@pytest.mark.parametrize("rate", [0, -1, 1_000_001])
async def test_a_rate_out_of_bounds_is_refused(store: Store, claims: list[Domain], rate: int) -> None:
    with pytest.raises(StoreValueError):
        async with store.transaction() as tx:
            await domains.set_rate(tx, claims[0].project_id, "shop.example", rate)


async def test_a_domain_may_be_made_with_its_rate(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    slow = msgspec.structs.replace(claims[0], domain_id=mailroom.new_id(), name="slow.example", rate_per_minute=5)
    async with store.transaction() as tx:
        await domains.insert(tx, slow)
        assert await domains.by_name(tx, slow.project_id, "slow.example") == slow


async def test_what_is_due_is_given_to_one_worker_longest_first(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, second = claims
    now, later = clock.now(), clock.now() + timedelta(minutes=10)
    oldest = Domain(mailroom.new_id(), first.project_id, "a.example", now)
    future = Domain(mailroom.new_id(), first.project_id, "b.example", now)
    async with store.transaction() as tx:
        await domains.insert(tx, oldest, check_due_at=now - timedelta(hours=1))
        await domains.insert(tx, future, check_due_at=later)
    async with store.transaction() as tx, store.transaction() as other:
        taken = await domains.take_due(tx, now=now, taken_until=later, count_max=1)
        assert list(taken) == [oldest]
        more = await domains.take_due(other, now=now, taken_until=later, count_max=9)
        assert sorted(more, key=lambda one: one.domain_id) == sorted([first, second], key=lambda one: one.domain_id)
    async with store.transaction() as tx:
        assert await domains.take_due(tx, now=now, taken_until=later, count_max=9) == []
        assert len(await domains.take_due(tx, now=later, taken_until=later, count_max=9)) == 4


async def test_where_a_domain_stands_is_written_and_its_proof_stays(
    store: Store, clock: FakeClock, claims: list[Domain]
) -> None:
    first, second = claims
    now = clock.now()
    proven = Standing(state=RecordState.PASSED, checked_at=now, passed_at=now, is_proven=True)
    stopped = Standing(state=RecordState.FAILED, checked_at=now, failing_since=now, stopped_at=now, is_proven=True)
    async with store.transaction() as tx:
        await domains.stand(tx, second.project_id, first.domain_id, proven, check_due_at=now)  # Not its own.
        assert await domains.lock(tx, first.project_id, first.domain_id) == first
        await domains.stand(tx, first.project_id, first.domain_id, proven, check_due_at=now)
        passed = await domains.lock(tx, first.project_id, first.domain_id)
        assert passed == msgspec.structs.replace(
            first, state=RecordState.PASSED, checked_at=now, passed_at=now, verified_at=now
        )
        assert await domains.stopped(tx) == []
        unproven = msgspec.structs.replace(stopped, is_proven=False)
        await domains.stand(tx, first.project_id, first.domain_id, unproven, check_due_at=now)
        kept = await domains.by_name(tx, first.project_id, first.name)
        assert kept is not None
        assert (kept.verified_at, kept.stopped_at) == (now, now)
        assert await domains.stopped(tx) == [Stopped(first.project_id, first.name, now, now)]
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await domains.stand(tx, second.project_id, second.domain_id, proven, check_due_at=now)


async def test_terms_are_kept_and_only_what_nobody_has_proven_goes(
    store: Store, clock: FakeClock, claims: list[Domain]
) -> None:
    first, second = claims
    terms = Terms(stream=Stream.MARKETING, return_path="b.shop.example", tracking_host="t.shop.example")
    async with store.transaction() as tx:
        await domains.set_terms(tx, first.project_id, first.domain_id, terms, check_due_at=clock.now())
        kept = await domains.by_name(tx, first.project_id, first.name)
        assert kept == msgspec.structs.replace(first, **msgspec.structs.asdict(terms))
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        assert not await domains.remove(tx, first.project_id, first.domain_id)
        assert not await domains.remove(tx, first.project_id, second.domain_id)
        assert await domains.remove(tx, second.project_id, second.domain_id)
        assert await domains.of_project(tx, second.project_id) == []


async def test_options_are_kept_on_ones_own_domain(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    options = Options(
        mta_sts=MtaSts.TESTING, bimi_logo="https://x.example/l.svg", bimi_certificate="https://x.example/c"
    )
    async with store.transaction() as tx:
        await domains.set_options(tx, second.project_id, first.domain_id, options, check_due_at=clock.now())
        assert await domains.by_name(tx, first.project_id, first.name) == first
        await domains.set_options(tx, first.project_id, first.domain_id, options, check_due_at=clock.now())
        kept = await domains.by_name(tx, first.project_id, first.name)
    assert kept == msgspec.structs.replace(first, **msgspec.structs.asdict(options))


async def test_the_first_to_prove_a_domain_speaks_for_its_return_path(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    terms = Terms(stream=None, return_path="b.shop.example", tracking_host="")
    second, first = claims
    below = Domain(mailroom.new_id(), second.project_id, "news.shop.example", clock.now())
    async with store.transaction() as tx:
        await domains.insert(tx, below)
        for one, mode in ((below, MtaSts.NONE), (first, MtaSts.TESTING), (second, MtaSts.ENFORCE)):
            options = Options(mta_sts=mode, bimi_logo="", bimi_certificate="")
            await domains.set_terms(tx, one.project_id, one.domain_id, terms, check_due_at=clock.now())
            await domains.set_options(tx, one.project_id, one.domain_id, options, check_due_at=clock.now())
        assert await domains.mta_sts_modes(tx) == {}, "nobody has proven anything"
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now() + timedelta(hours=1))
        assert await domains.mta_sts_modes(tx) == {"b.shop.example": MtaSts.TESTING}
        await domains.verify(tx, below.project_id, below.domain_id, now=clock.now())
        assert await domains.mta_sts_modes(tx) == {"b.shop.example": MtaSts.NONE}


async def test_a_stop_by_hand_is_looked_at_soon_and_ends(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    now, soon = clock.now(), clock.now() + timedelta(minutes=10)
    async with store.transaction() as tx:
        for one in claims:
            await domains.take_due(tx, now=now, taken_until=now + timedelta(days=1), count_max=9)
            await domains.stop(tx, second.project_id, one.domain_id, now, check_due_at=soon)
        assert await domains.stopped(tx) == [Stopped(second.project_id, second.name, now, None)]
        assert [one.name for one in await domains.take_due(tx, now=soon, taken_until=soon, count_max=9)] == [
            second.name
        ]
        await domains.stop(tx, second.project_id, second.domain_id, None, check_due_at=soon)
        assert await domains.stopped(tx) == []
        assert (await domains.by_name(tx, first.project_id, first.name)) == first


async def test_a_proven_domain_is_released_by_its_own_project_alone(
    store: Store, clock: FakeClock, claims: list[Domain]
) -> None:
    first, second = claims
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        assert await domains.lock_whole(tx, second.project_id, first.domain_id) is None
        await domains.release(tx, second.project_id, first.domain_id)
        assert await domains.lock_whole(tx, first.project_id, first.domain_id) is not None
        await domains.release(tx, first.project_id, first.domain_id)
        assert await domains.by_name(tx, first.project_id, first.name) is None
        await domains.verify(tx, second.project_id, second.domain_id, now=clock.now())

"""Idempotency keys: the first request's answer is everybody's, also when they come at the same moment."""

import asyncio

import msgspec
import pytest

from outrider.store import idempotency
from outrider.store.idempotency import KeyedAnswer
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom, wait_blocked


@pytest.fixture
async def first(mailroom: Mailroom) -> KeyedAnswer:
    return KeyedAnswer(await mailroom.project(), "key-1", bytes(32), b'{"n":1}')


def second_of(first: KeyedAnswer) -> KeyedAnswer:
    return msgspec.structs.replace(first, request_hash=b"\x01" * 32, answer=b'{"n":2}')


async def test_a_free_key_is_ours_and_a_taken_one_is_not(store: Store, clock: FakeClock, first: KeyedAnswer) -> None:
    pair = (first.project_id, "key-1")
    async with store.transaction() as tx:
        assert await idempotency.claim(tx, [first], now=clock.now()) == {pair}
    async with store.transaction() as tx:
        assert await idempotency.claim(tx, [second_of(first)], now=clock.now()) == set()
        assert await idempotency.find(tx, [pair]) == {pair: first}


async def test_of_a_batch_only_the_free_ones_are_ours(store: Store, clock: FakeClock, first: KeyedAnswer) -> None:
    other = msgspec.structs.replace(first, idempotency_key="key-2")
    async with store.transaction() as tx:
        await idempotency.claim(tx, [first], now=clock.now())
        ours = await idempotency.claim(tx, [second_of(first), other], now=clock.now())
        found = await idempotency.find(tx, [(first.project_id, key) for key in ("key-1", "key-2", "key-3")])
    assert ours == {(first.project_id, "key-2")}
    assert sorted(key for _, key in found) == ["key-1", "key-2"]


async def test_each_project_has_its_own_keys(
    store: Store, clock: FakeClock, mailroom: Mailroom, first: KeyedAnswer
) -> None:
    other = msgspec.structs.replace(second_of(first), project_id=await mailroom.project("other"))
    async with store.transaction() as tx:
        ours = await idempotency.claim(tx, [first, other], now=clock.now())
        assert ours == {(first.project_id, "key-1"), (other.project_id, "key-1")}
        assert await idempotency.find(tx, [(other.project_id, "key-1")]) == {(other.project_id, "key-1"): other}


@pytest.mark.parametrize("is_kept", [True, False], ids=["first-commits", "first-rolls-back"])
async def test_a_second_at_the_same_moment_waits_for_the_first(
    store: Store, clock: FakeClock, first: KeyedAnswer, is_kept: bool
) -> None:
    pair = (first.project_id, "key-1")
    second = second_of(first)

    async def claim_second() -> tuple[set[object], KeyedAnswer]:
        async with store.transaction() as tx:
            ours = await idempotency.claim(tx, [second], now=clock.now())
            return set(ours), (await idempotency.find(tx, [pair]))[pair]

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        try:
            async with store.transaction() as tx:
                await idempotency.claim(tx, [first], now=clock.now())
                waiting = group.create_task(claim_second())
                await wait_blocked(store)
                if not is_kept:
                    raise KeyError("the first one fails")
        except KeyError:
            assert not is_kept
    ours, stored = waiting.result()
    assert (ours, stored) == ((set(), first) if is_kept else ({pair}, second))


async def test_many_keys_at_once_in_opposite_orders_have_one_owner_each(
    store: Store, clock: FakeClock, first: KeyedAnswer
) -> None:
    answers = [msgspec.structs.replace(first, idempotency_key=f"key-{number}") for number in range(100)]

    async def claim(rows: list[KeyedAnswer]) -> int:
        async with store.transaction() as tx:
            return len(await idempotency.claim(tx, rows, now=clock.now()))

    async with asyncio.timeout(WAIT_S):
        counts = await asyncio.gather(claim(answers), claim(answers[::-1]), claim(answers[50:] + answers[:50]))
    assert sum(counts) == 100

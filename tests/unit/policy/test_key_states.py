"""Moves of DKIM keys: each of the table's, and never the last signing key away, whatever DNS says."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.vocab import KeyState
from outrider.policy import key_states

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
WAIT = timedelta(minutes=10)
RSA, ED = "rsa-sha256", "ed25519-sha256"
W, S, R, X = KeyState.WAITING, KeyState.SIGNING, KeyState.RETIRING, KeyState.RETIRED


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the rules see it."""

    dkim_key_id: UUID
    algorithm: str = RSA
    state: KeyState = W
    is_delegated: bool = False
    created_at: datetime = NOW - timedelta(days=30)
    seen_at: datetime | None = None
    missing_at: datetime | None = None
    signing_at: datetime | None = None
    retiring_at: datetime | None = None


def key(number: int, state: KeyState, seen: bool | None = None, *, algorithm: str = RSA, age_days: int = 0) -> Key:
    """Return a key in `state` whose record is there, is not, or (None) was not looked for."""
    at = NOW - timedelta(days=20 - number)
    return Key(
        dkim_key_id=UUID(int=number),
        algorithm=algorithm,
        state=state,
        created_at=at,
        seen_at=NOW if seen else None,
        missing_at=NOW if seen is False else None,
        signing_at=None if state is W else at,
        retiring_at=NOW - timedelta(days=age_days) if state is R else None,
    )


def moved(*keys: Key) -> dict[int, KeyState]:
    found = key_states.moves(keys, now=NOW, retire_after=WEEK, zone_wait=WAIT)
    return {key_id.int: state for key_id, state in found.items()}


def test_a_key_signs_once_it_is_seen_and_the_last_one_retires() -> None:
    assert moved(key(1, S, True), key(2, W)) == {}
    assert moved(key(1, S, True), key(2, W, False)) == {}
    assert moved(key(1, S, True), key(2, W, True)) == {1: R, 2: S}
    assert moved(key(1, W, True)) == {1: S}


def test_an_algorithm_says_nothing_of_the_other() -> None:
    assert moved(key(1, S, True), key(2, W, True, algorithm=ED)) == {2: S}
    assert moved(key(1, S, True), key(2, S, True, algorithm=ED), key(3, W, True)) == {1: R, 3: S}


def test_of_two_that_are_seen_the_newer_signs() -> None:
    assert moved(key(1, S, True), key(2, W, True), key(3, W, True)) == {1: R, 2: R, 3: S}


def test_a_delegated_key_waits_until_its_name_s_last_record_is_forgotten() -> None:
    waiting = msgspec.structs.replace(key(2, W), is_delegated=True)
    for age, expected in ((WAIT - timedelta(seconds=1), {}), (WAIT, {1: R, 2: S})):
        assert moved(key(1, S, True), msgspec.structs.replace(waiting, seen_at=NOW - age)) == expected


def test_the_first_delegated_key_waits_for_nothing() -> None:
    first = msgspec.structs.replace(key(1, W, True), is_delegated=True)
    assert moved(first) == {1: S}
    assert moved(first, key(2, S, algorithm=ED)) == {}


def test_a_key_whose_record_is_lost_waits_if_another_is_there() -> None:
    assert moved(key(1, S, False), key(2, S, True, algorithm=ED)) == {1: W}
    assert moved(key(1, S, False), key(2, S, None, algorithm=ED)) == {}, "nothing better is known"
    assert moved(key(1, S, False), key(2, S, False, algorithm=ED)) == {}
    assert moved(key(1, S, False)) == {}


def test_the_last_key_comes_back_if_the_new_one_is_lost() -> None:
    assert moved(key(1, R, True), key(2, S, False)) == {1: S, 2: W}
    assert moved(key(1, R, False), key(2, S, False)) == {}
    assert moved(key(1, S, True), key(2, W, True)) == {1: R, 2: S}, "and goes when the new one is found again"


def test_a_key_is_retired_when_nobody_checks_it_any_more() -> None:
    assert moved(key(1, R, True, age_days=6), key(2, S, True)) == {}
    assert moved(key(1, R, True, age_days=7), key(2, S, True)) == {1: X}
    assert moved(key(1, X, True), key(2, S, True)) == {}


SEEN = st.sampled_from([True, False, None])
KEYS = st.lists(st.tuples(st.sampled_from([W, S, R, X]), SEEN, st.sampled_from([RSA, ED])), max_size=6)


@given(KEYS)
def test_none_signs_unseen_and_one_always_signs(drawn: list[tuple[KeyState, bool | None, str]]) -> None:
    keys = [key(at, state, seen, algorithm=algorithm) for at, (state, seen, algorithm) in enumerate(drawn, 1)]
    states = {one.dkim_key_id.int: one.state for one in keys}
    after = states | moved(*keys)
    if S in states.values():
        assert S in after.values()
    for one in keys:
        if after[one.dkim_key_id.int] is S and one.state is not S:
            assert one.seen_at is not None
    signing = [one for one in keys if after[one.dkim_key_id.int] is S]
    if any(one.seen_at is not None for one in signing):
        assert all(one.missing_at is None for one in signing)


@given(KEYS)
def test_moves_are_made_once(drawn: list[tuple[KeyState, bool | None, str]]) -> None:
    keys = [key(at, state, seen, algorithm=algorithm) for at, (state, seen, algorithm) in enumerate(drawn, 1)]
    for _ in itertools.repeat(None, 4):
        found = moved(*keys)
        keys = [
            msgspec.structs.replace(
                one,
                state=found.get(one.dkim_key_id.int, one.state),
                signing_at=NOW if found.get(one.dkim_key_id.int) is S else one.signing_at,
                retiring_at=NOW if found.get(one.dkim_key_id.int) is R else one.retiring_at,
            )
            for one in keys
        ]
        if not found:
            return
    raise AssertionError("the keys never come to rest")

"""When a DKIM key begins to sign, stops, and is not needed any more. Pure.

    from      to        when
    waiting   signing   its record has been seen in DNS; a delegated key's for long enough: its name may be an old one
    signing   retiring  a newer key of its algorithm signs
    signing   waiting   DNS says that its record is gone, and another key signs whose record is there
    retiring  signing   the key that came after it is gone from DNS, and its own record is still there
    retiring  retired   long enough after its last signature: nobody checks that any more

Besides, somebody may give their word that a record is there, and take a key away: `services.dkim_keys`.

Invariant: as long as one key signs, one signs after the moves. A lost record alone stops no key, unless another signs
whose record is there: with nothing better, a signature that may not verify is not worse than none, and whether the
domain may send at all is decided elsewhere.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from outrider.base.vocab import KeyState


class Key(Protocol):
    """What the moves depend on (`store.dkim_keys.DkimKey`)."""

    @property
    def dkim_key_id(self) -> UUID: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def state(self) -> KeyState: ...
    @property
    def is_delegated(self) -> bool: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def seen_at(self) -> datetime | None: ...
    @property
    def missing_at(self) -> datetime | None: ...
    @property
    def signing_at(self) -> datetime | None: ...
    @property
    def retiring_at(self) -> datetime | None: ...


AnyKey = TypeVar("AnyKey", bound=Key)


def moves(
    keys: Sequence[Key], *, now: datetime, retire_after: timedelta, zone_wait: timedelta
) -> Mapping[UUID, KeyState]:
    """Return the new states of those of a domain's `keys` that have to move now.

    Args:
        retire_after: how long after its last signature a key's record is needed.
        zone_wait: how long a delegated key's record must have been there before it signs, unless none does.
    """
    states = {key.dkim_key_id: key.state for key in keys}
    # Where nothing signs, waiting would leave mail without a signature.
    seen_before = now - zone_wait if _those(KeyState.SIGNING, keys, states) else now
    for algorithm in {key.algorithm for key in keys}:
        same = [key for key in keys if key.algorithm == algorithm]
        _promote(same, states, seen_before)
        _restore(same, states)
    for key in _those(KeyState.SIGNING, keys, states):
        others = [one for one in _those(KeyState.SIGNING, keys, states) if one is not key]
        if key.missing_at is not None and any(one.seen_at is not None for one in others):
            states[key.dkim_key_id] = KeyState.WAITING
    for key in _those(KeyState.RETIRING, keys, states):
        if key.state is KeyState.RETIRING and key.retiring_at is not None and key.retiring_at + retire_after <= now:
            states[key.dkim_key_id] = KeyState.RETIRED
    return {key.dkim_key_id: states[key.dkim_key_id] for key in keys if states[key.dkim_key_id] is not key.state}


def _promote(keys: Sequence[Key], states: dict[UUID, KeyState], seen_before: datetime) -> None:
    """Let the newest key whose record is there sign, and no other of its algorithm."""
    waiting = _those(KeyState.WAITING, keys, states)
    ready = [key for key in waiting if key.seen_at is not None and (not key.is_delegated or key.seen_at <= seen_before)]
    if ready:
        for key in (*ready, *_those(KeyState.SIGNING, keys, states)):
            states[key.dkim_key_id] = KeyState.RETIRING
        states[_newest(ready).dkim_key_id] = KeyState.SIGNING


def _restore(keys: Sequence[Key], states: dict[UUID, KeyState]) -> None:
    """Let the last key sign again if the record of the present one is gone and its own is not."""
    lost = [key for key in _those(KeyState.SIGNING, keys, states) if key.missing_at is not None]
    there = [key for key in _those(KeyState.RETIRING, keys, states) if key.seen_at is not None and key.signing_at]
    if lost and there:
        states[_newest(there).dkim_key_id] = KeyState.SIGNING


def _those(state: KeyState, keys: Iterable[AnyKey], states: Mapping[UUID, KeyState]) -> list[AnyKey]:
    return [key for key in keys if states[key.dkim_key_id] is state]


def _newest(keys: Collection[AnyKey]) -> AnyKey:
    return max(keys, key=lambda key: (key.signing_at or key.created_at, key.created_at))

"""The master keys, changed while everything runs: a new one in front, all sealed anew, the last one forgotten.

    rotate    a new key comes first in the key file; all processes of the node find it there (`store.vault`)
    reseal    what the others sealed is sealed with the first, a batch a transaction
    forget    keys that sealed nothing any more, and whose return paths have all expired, leave the file

Each step may be stopped at any place and done again: a key is in the file before anything is sealed with it, and stays
there as long as anything needs it. A secret that opens with no key is left as it is and counted.

Nodes with key files of their own, and keys in an environment variable, are changed by hand: docs/howto/dkim-keys.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import ConflictError, StoreCorruptError
from outrider.store import dkim_keys, keys, master_key, nodes, webhooks
from outrider.store.master_key import KeySource, MasterKey
from outrider.store.pool import Store, Tx
from outrider.store.vault import MARK_BYTES, Sealed, Vault, mark_of

_BATCH_COUNT: Final = 100  # Ours: milliseconds of work and of locks.
_ALIVE: Final = timedelta(minutes=2)  # Ours: nodes say every few seconds that they are there.


class _Shelf(Protocol):
    """A table with sealed secrets: a module of `store`."""

    async def sealed_otherwise(self, tx: Tx, mark: bytes, *, after: str, count_max: int) -> Sequence[Sealed]:
        """Return, and lock, the next ones by name whose sealed form does not begin with `mark`."""

    async def reseal(self, tx: Tx, project_id: UUID, name: str, octets: bytes) -> None:
        """Store one sealed anew."""

    async def count_sealed(self, tx: Tx, mark_bytes: int) -> Mapping[bytes, int]:
        """Return how many are sealed under each mark."""


_SHELVES: Final[Sequence[_Shelf]] = (dkim_keys, keys, webhooks)


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """One master key, without the key."""

    name: str  # As it is in front of what it sealed.
    made_on: date | None  # None: the first key of the installation.
    is_sealing: bool
    sealed_count: int  # How many secrets only it opens.
    forget_on: date | None  # From when on nothing needs it that was derived from it; None: it seals, or nobody knows.


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All master keys."""

    source: str
    keys: Sequence[KeyShown]  # The one that seals first.
    other_count: int  # Secrets that none of them is named on: sealed by an old version, or by a key that is missing.


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """What was sealed anew."""

    is_new_key: bool
    count: int
    closed_count: int  # Secrets that no key opens; they are as they were.


def new_line(today: date) -> str:
    """Return a line with a new key, for those who bring it by hand to where the keys are. It is a secret."""
    return master_key.write_line(master_key.new_key(today))


class MasterKeys:
    """Changes the master keys of this installation."""

    def __init__(self, store: Store, vault: Vault, source: KeySource, *, keep_for: timedelta, clock: Clock) -> None:
        """`keep_for`: how long what is derived from a key, and not stored here, is in the world."""
        self._store: Final = store
        self._vault: Final = vault
        self._source: Final = source
        self._keep_for: Final = keep_for
        self._clock: Final = clock

    async def show(self) -> Shown:
        """Return the keys and what they sealed. Raises ConfigError: they cannot be read."""
        found = self._source.read()
        counts = await self._count()
        marks = [mark_of(key.octets) for key in found]
        shown = [
            KeyShown(
                name=mark[1:].hex(),
                made_on=key.made_on,
                is_sealing=key is found[0],
                sealed_count=counts.get(mark, 0),
                forget_on=self._forget_on(found, at),
            )
            for at, (key, mark) in enumerate(zip(found, marks, strict=True))
        ]
        other_count = sum(count for mark, count in counts.items() if mark not in marks)
        return Shown(source=self._source.name, keys=shown, other_count=other_count)

    async def rotate(self, *, is_shared: bool = False) -> Resealed:
        """Make a new key and seal everything with it. One that was begun is finished instead. Safe twice.

        Args:
            is_shared: the caller knows that all nodes read one key file.

        Raises:
            ConfigError: the keys are not in a file that can be changed.
            ConflictError: there are several nodes, whose key files nobody has seen.
        """
        self._vault.refresh()
        older = {mark_of(key.octets) for key in self._source.read()[1:]}
        if older & (await self._count()).keys():  # What an old version sealed has no mark, and is no rotation begun.
            begun = await self.reseal()
            if begun.count:
                return begun
        now = self._clock.now()
        async with self._store.transaction() as tx:
            names = [node.name for node in await nodes.live(tx, alive_since=now - _ALIVE)]
        if len(names) > 1 and not is_shared:
            raise ConflictError(
                f"Several nodes run ({', '.join(names)}). If they read one key file, say --shared; else bring a new key"
                " to each of them first: docs/howto/dkim-keys.md.",
                field="shared",
            )
        self._source.add(now.date())
        found = await self.reseal()
        return msgspec.structs.replace(found, is_new_key=True)

    async def reseal(self) -> Resealed:
        """Seal with the first key what another one sealed. Safe twice, concurrently, and ended anywhere."""
        self._vault.refresh()
        done = [await self._reseal(shelf) for shelf in _SHELVES]
        return Resealed(
            is_new_key=False, count=sum(count for count, _ in done), closed_count=sum(closed for _, closed in done)
        )

    async def _reseal(self, shelf: "_Shelf") -> tuple[int, int]:
        """Return how many were sealed anew, and how many no key opens."""
        mark, after, count, closed_count = self._vault.mark, "", 0, 0
        while True:
            async with self._store.transaction() as tx:
                batch = await shelf.sealed_otherwise(tx, mark, after=after, count_max=_BATCH_COUNT)
                for one in batch:
                    try:
                        secret = self._vault.open(one.octets, one.context)
                    except StoreCorruptError:
                        closed_count += 1
                        continue
                    await shelf.reseal(tx, one.project_id, one.name, self._vault.seal(secret, one.context))
                    count += 1
            if not batch:
                return count, closed_count
            after = batch[-1].name

    async def forget(self) -> Sequence[KeyShown]:
        """Take the keys that nothing needs out of the key file; return them, [] if there are none. Safe twice.

        Raises:
            ConfigError: the keys are not in a file that can be changed.
        """
        today = self._clock.now().date()
        shown = await self.show()
        if shown.other_count:  # Any of the keys may be the one.
            return []
        keys = {mark_of(key.octets)[1:].hex(): key for key in self._source.read()}
        unneeded = [one for one in shown.keys if not one.sealed_count and one.forget_on and one.forget_on <= today]
        if unneeded:
            self._source.drop([keys[one.name] for one in unneeded])
        return unneeded

    def _forget_on(self, keys: Sequence[MasterKey], at: int) -> date | None:
        """A key was used until the next one came."""
        next_came_on = keys[at - 1].made_on if at else None
        return None if next_came_on is None else next_came_on + self._keep_for + timedelta(days=1)

    async def _count(self) -> Mapping[bytes, int]:
        """How many secrets each key sealed, by its mark."""
        counts: Counter[bytes] = Counter()
        async with self._store.transaction() as tx:
            for shelf in _SHELVES:
                counts.update(await shelf.count_sealed(tx, MARK_BYTES))
        return counts

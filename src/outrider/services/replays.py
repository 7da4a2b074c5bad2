"""First answers kept by idempotency key, for calls whose answer is more than one commit's: a batch.

    begin  --> None: go on, and give each part a key of its own (`part_key`)     finish --> the answer that counts
           --> the first answer, octet for octet

A second call that comes while the first is under way goes through the same parts: each is done once, and both get the
answer that was stored first.
"""

import hashlib
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import ConflictError
from outrider.store import idempotency
from outrider.store.idempotency import KeyedAnswer
from outrider.store.pool import Store


class Replays:
    """Keeps first answers."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def begin(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> bytes | None:
        """Claim the key; return the first answer if there is one.

        Raises:
            ConflictError: the key was used with another request.
        """
        pair = (project_id, idempotency_key)
        claimed = KeyedAnswer(project_id, idempotency_key, request_hash, b"")
        async with self._store.transaction() as tx:
            if pair in await idempotency.claim(tx, [claimed], now=self._clock.now()):
                return None
            stored = (await idempotency.find(tx, [pair])).get(pair, claimed)
        if stored.request_hash != request_hash:
            raise ConflictError("That idempotency key was used with another request.", field="idempotency_key")
        return stored.answer or None

    async def finish(self, project_id: UUID, idempotency_key: str, answer: bytes) -> bytes:
        """Store the answer of a key that was begun; return the one that counts: the first that was stored."""
        async with self._store.transaction() as tx:
            return await idempotency.fill(tx, project_id, idempotency_key, answer) or answer


def part_key(idempotency_key: str, position: int) -> str:
    """Return the key of one part of a call. No caller has a key like it: theirs have no space."""
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
    return f"part {position} of {digest}"

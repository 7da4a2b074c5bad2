"""The DKIM signatures of a caught message, checked against the keys we would publish."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from outrider.mail import dkim_verify
from outrider.mail.dkim_verify import Verification


class PublishedRecord(Protocol):
    """The TXT record of a DKIM key, from our own database: in catch mode nothing need be in the DNS yet."""

    async def __call__(self, domain: str, selector: str) -> str | None:
        """Return the record's text; None if we have no such key."""


async def check(message: bytes, published_record: PublishedRecord) -> Sequence[Verification]:
    """Return what became of each signature of `message`, the top one first.

    Cost: a pass to hear which keys are asked for, one look-up for each, a pass with them.
    """
    asked: set[tuple[str, str]] = set()

    def note(domain: str, selector: str) -> None:
        asked.add((domain, selector))

    await asyncio.to_thread(dkim_verify.verify, message, note)
    records = {key: await published_record(*key) for key in sorted(asked)}
    return await asyncio.to_thread(dkim_verify.verify, message, lambda *key: records[key])

"""The DKIM signatures of a caught message, checked against the keys we would publish."""

import asyncio
from typing import Protocol

import msgspec

from outrider.mail import dkim_verify
from outrider.mail.dkim_verify import Result


class PublishedRecord(Protocol):
    """The TXT record of a DKIM key, from our own database: in catch mode nothing need be in the DNS yet."""

    async def __call__(self, domain: str, selector: str) -> str | None:
        """Return the record's text; None if we have no such key."""


class SignatureView(msgspec.Struct, frozen=True):
    """One signature and whether it holds. Texts are "" where the signature does not say."""

    domain: str
    selector: str
    algorithm: str
    is_valid: bool
    reason: str


async def check(message: bytes, published_record: PublishedRecord) -> list[SignatureView]:
    """Return what became of each signature of `message`, the top one first.

    Cost: a pass to hear which keys are asked for, one lookup for each, a pass with them.
    """
    asked: set[tuple[str, str]] = set()

    def note(domain: str, selector: str) -> None:
        asked.add((domain, selector))

    await asyncio.to_thread(dkim_verify.verify, message, note)
    records = {key: await published_record(*key) for key in sorted(asked)}
    found = await asyncio.to_thread(dkim_verify.verify, message, lambda *key: records[key])
    return [SignatureView(f.domain, f.selector, f.algorithm, f.result is Result.PASS, f.reason) for f in found]

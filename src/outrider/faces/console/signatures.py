"""The DKIM signatures of a caught message, checked against the keys we would publish."""

from typing import Protocol


class PublishedRecord(Protocol):
    """The TXT record of a DKIM key, from our own database: in catch mode nothing need be in the DNS yet."""

    async def __call__(self, domain: str, selector: str) -> str | None:
        """Return the record's text; None if we have no such key."""


async def check(message: bytes, published_record: PublishedRecord) -> list[object]:
    return []

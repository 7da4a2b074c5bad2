"""Ask DNS about the records a domain should have. What the answers mean is `policy.record_check`."""

from collections.abc import Sequence
from typing import Protocol

from outrider.policy.record_check import Finding
from outrider.policy.records import Wanted


class RecordAsker(Protocol):
    """Who answers questions about records: `dns_query.NameServers`. Never raises for what others do."""


class RecordLooker:
    """Checks records. For one event loop; safe for many callers at once."""

    def __init__(self, asker: RecordAsker) -> None:
        self._asker = asker

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Return a finding for each wanted record of `domain`, in the same order. Never raises for DNS.

        Bounded: in time, in questions at once, and in questions at all. Safe: cancellable, may be repeated.
        """
        raise NotImplementedError

"""What a clock promises. The real one is made in `app.py`; tests move a fake one by hand."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations. Never mix the two."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of this clock."""

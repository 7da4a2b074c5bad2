"""Looks whether the junk filter of [content] answers. One question without a message; it costs the filter nothing."""

from collections.abc import Sequence
from typing import Final, Protocol

from outrider.policy import checkup
from outrider.policy.checkup import Check
from outrider.policy.content import WhenDown
from outrider.services.checkup.run import Probe
from outrider.wire.answer import Cause

FILTER: Final = "content.filter"


class Silent(Protocol):
    """Why nobody answers (`net.rspamd.Silence`)."""

    @property
    def cause(self) -> Cause:
        """In a word."""

    @property
    def said(self) -> str:
        """For the operator."""


class Pinged(Protocol):
    """A filter that may be asked whether it is there (`net.rspamd.RspamdClient`)."""

    async def ping(self) -> Silent | None:
        """Return why it does not answer, None if it does."""

    async def close(self) -> None:
        """Let go of connections."""


class ContentCheckup:
    """Looks at one filter."""

    def __init__(self, url: str, filter_: Pinged, *, when_down: WhenDown) -> None:
        self._url: Final = url
        self._filter: Final = filter_
        self._when_down: Final = when_down

    def probes(self) -> list[Probe]:
        """Return what there is to look at."""
        return [Probe(FILTER, self._ask)]

    async def _ask(self) -> Sequence[Check]:
        try:
            silence = await self._filter.ping()
        finally:
            await self._filter.close()
        if silence is None:
            return [checkup.ok(FILTER, f"rspamd answers at {self._url}.")]
        seen = f"rspamd at {self._url} does not answer ({silence.cause}: {silence.said})."
        advice = "Start it, or mend OUTRIDER_CONTENT__RSPAMD_URL."
        if self._when_down is WhenDown.HOLD:
            return [checkup.fail(FILTER, f"{seen} All mail is held.", advice)]
        return [checkup.warn(FILTER, f"{seen} Mail passes unseen.", advice)]

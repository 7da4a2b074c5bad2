"""The sink's conversation: it takes everything, counts it, and misbehaves by the rules it is given.

What is said and read is `faces.smtp.conversation`'s; here are the counts.
"""

import asyncio
import re
import ssl
from collections.abc import Sequence
from typing import Final

from outrider.faces.smtp.conversation import Conversation
from outrider.policy.behaviour import Rule, Rulebook, Stage
from outrider.testing.tally import Tally

_MESSAGE_ID: Final = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)


class Counter:
    """What the conversations of one sink share."""

    def __init__(self, tally: Tally, rulebook: Rulebook, tls: ssl.SSLContext | None) -> None:
        self.tally: Final = tally
        self.rulebook = rulebook
        self.tls: Final = tls
        self.upgrades: Final = asyncio.TaskGroup()  # TLS handshakes under way.
        self.talks: Final[set[SinkTalk]] = set()


class SinkTalk(Conversation):
    """One connection to the sink."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(counter.upgrades, counter.tls)
        self._counter: Final = counter
        self._tally: Final = counter.tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and greet."""
        self._counter.talks.add(self)
        self._tally.connections += 1
        self._tally.open_connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(error)
        self._counter.talks.discard(self)
        self._tally.open_connections -= 1

    @property
    def stages(self) -> frozenset[Stage]:
        """Those of the rules as they are now."""
        return self._counter.rulebook.stages

    def choose(self, stage: Stage, subjects: Sequence[str]) -> Rule | None:
        """Go by the rules as they are now."""
        return self._counter.rulebook.choose(stage, subjects)

    def taken(self, head: bytes, octets: int) -> None:
        """Count a message."""
        self._tally.add(self._recipients, find_message_id(head), octets)

    def refused(self) -> None:
        """Count a refusal."""
        self._tally.refusals += 1

    def secured(self) -> None:
        """Count a connection with TLS."""
        self._tally.tls_connections += 1


def find_message_id(head: bytes) -> bytes:
    """Return the Message-ID of a message that starts with `head`, angle brackets included; b"" if it has none."""
    blank = head.find(b"\r\n\r\n")
    fields_end = len(head) if blank < 0 else blank
    start = head.find(b"\r\nMessage-ID: <", 0, fields_end)  # As nearly everybody writes it; 15 times faster.
    if start >= 0:
        end = head.find(b">", start, fields_end)
        return head[start + 14 : end + 1]
    found = _MESSAGE_ID.search(head, 0, fields_end)
    return found[1] if found else b""

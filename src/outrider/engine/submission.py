"""What every door hands to `engine.accept`, and what it gets back. Records only.

A face turns its dialect into a `Submission`; from there on nobody knows through which door a message came.
"""

from uuid import UUID

import msgspec

from outrider.base.vocab import Stream


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One call's worth of mail: the same content to each recipient, as one separate message each."""

    sender: str  # The From address, as the caller wrote it.
    recipients: tuple[str, ...]  # In the caller's order and spelling; duplicates are sent once.
    subject: str
    from_name: str = ""
    text: str | None = None
    html: str | None = None  # `text`, `html` or both must be there.
    stream: Stream = Stream.TRANSACTIONAL


class Rejected(msgspec.Struct, frozen=True):
    """A recipient that was not accepted; the others of the call are unharmed."""

    address: str  # As the caller wrote it.
    reason: str  # For people, English, no secrets: "invalid address: no @".


class Accepted(msgspec.Struct, frozen=True):
    """What became of a submission. It is on disk by the time anybody sees this."""

    session_id: UUID | None  # None: every recipient was rejected, nothing was stored.
    recipient_count: int  # Accepted ones, duplicates counted once.
    rejected: tuple[Rejected, ...] = ()

"""What every door hands to `engine.accept`, and what it gets back. Records, and the rule of the names in them.

A face turns its dialect into a `Submission`; from there on nobody knows through which door a message came.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.mail.render import Template


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that travels with the mail."""

    name: str  # As the recipient sees it; no path.
    type: str  # "application/pdf"; parameters allowed ("text/calendar; method=REQUEST").
    content: bytes
    content_id: str = ""  # Without angle brackets: an image that the HTML shows as `cid:...`. "": a file beside it.


class Personal(msgspec.Struct, frozen=True, array_like=True):
    """What one recipient's mail is filled in with."""

    variables: Mapping[str, object] = {}  # JSON values.
    locale: str = ""  # "": the template's default.


class Templated(msgspec.Struct, frozen=True, kw_only=True):
    """A template in place of subject, text and HTML; those of the submission are empty, or the call's own."""

    template: Template
    template_id: str = ""  # This and the next: where it is stored; "" and 0: nowhere.
    number: int = 0
    stream: Stream | None = None  # Which mail the template is for; None: nobody has said. Of a stored one.
    preheader: str | None = None  # The call's own, in place of the template's.


class ReportWish(msgspec.Struct, frozen=True, array_like=True):
    """What the sender of the envelope wants to hear of one recipient. RFC 3461 §4.1."""

    address: str  # As in `recipients`.
    kinds: tuple[str, ...]  # Of "SUCCESS", "FAILURE", "DELAY", in order; at least one.
    original: str = ""  # The address of ORCPT, decoded.


class ReportsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Reports by mail that were asked for."""

    return_to: str  # The envelope's sender.
    wishes: tuple[ReportWish, ...]  # Of those recipients of whom something is to be heard.
    is_full: bool = False  # A failure gives the whole message back: RET=FULL.
    envelope_id: str = ""  # ENVID, decoded.


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One call's worth of mail: the same content to each recipient, in a conversation of its own each.

    Without `shown_to` every recipient sees itself alone in To; with it all see the same To and Cc, and those of
    `recipients` that are in neither are blind copies. With `raw` it is as its own header says: `sender`, `from_name`
    and `subject` repeat that for lists, and of the content's fields none is set.
    """

    sender: str  # The From address, as the caller wrote it.
    recipients: tuple[str, ...]  # In the caller's order and spelling; duplicates are sent once.
    subject: str
    from_name: str = ""
    text: str | None = None
    html: str | None = None  # `text`, `html` or both must be there.
    stream: Stream = Stream.TRANSACTIONAL
    campaign: str = ""  # The name of the mailing it belongs to: its mail is judged and held together; "" for none.
    list_name: str = ""  # Whom it is for: who left that list gets none of it; "" for no list.
    shown_to: tuple[str, ...] = ()  # For the To field, "Ann <ann@a.example>" or a bare address; all are recipients too.
    shown_cc: tuple[str, ...] = ()  # As `shown_to`.
    reply_to: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # Further fields, name and value, in this order.
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()  # The caller's words to find and count mail by.
    metadata: Mapping[str, str] = {}  # The caller's own; comes back with every event.
    send_at: datetime | None = None  # Not before; None: now.
    expires_s: float | None = None  # From `send_at` on; None: the installation's `message_life_s`.
    pool: str = ""  # Which sources carry it; "": as the project's settings say.
    track_opens: bool | None = None  # None: as the sending domain says.
    track_clicks: bool | None = None
    resent_from: UUID | None = None  # The message whose content this is, sent again.
    templated: Templated | None = None  # Then `text` and `html` are None; a `subject` that is not "" is the call's own.
    personal: tuple[Personal, ...] = ()  # One for each of `recipients`, in order; (): all have none. Of a template.
    raw: bytes | None = None  # A whole message as it is to be sent, lines ending in CRLF: in place of texts and fields.
    also_from: tuple[str, ...] = ()  # With `raw`: who else is in its From or Sender; each must be allowed to send.
    reports: ReportsAsked | None = None  # Whom to tell by mail of what becomes of it; None: nobody.
    has_null_sender: bool = False  # With `raw`: nothing may come back to it. For reports, which we write ourselves.
    facts: Mapping[str, str | int] = {}  # What the door knows beside all this; in the event of its acceptance.


class Rejected(msgspec.Struct, frozen=True):
    """A recipient that was not accepted; the others of the call are unharmed."""

    address: str  # As the caller wrote it.
    reason: str  # For people, English, no secrets: "invalid address: no @".


class Accepted(msgspec.Struct, frozen=True):
    """What became of a submission. It is on disk by the time anybody sees this."""

    session_id: UUID | None  # None: every recipient was rejected, nothing was stored.
    recipient_count: int  # Accepted ones, duplicates counted once.
    rejected: tuple[Rejected, ...] = ()
    is_repeat: bool = False  # The first answer to this idempotency key, given again: nothing was sent.


def check_name(name: str, chars_max: int, *, field: str) -> None:
    """Refuse a campaign's or list's name that people could not tell from another, or that is too long; "" is none.

    Raises:
        CallerError: for `field`.
    """
    if len(name) > chars_max:
        raise CallerError(f"The name has {len(name)} characters; at most {chars_max} are allowed.", field=field)
    if not name.isprintable() or name != name.strip():
        raise CallerError("A name is of printable characters, without a space at its ends.", field=field)

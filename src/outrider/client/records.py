"""What is handed in and what comes back. Each record is what the JSON of /v1 says (docs/reference/openapi.json).

Answers are read leniently: fields that a newer server adds are ignored, and words such as a status are plain text, so
that a new one breaks no program that was there before. `sender` is the JSON's `from`, `list_name` its `list`.
"""

import mimetypes
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from outrider.client.errors import Problem

Mailboxes = str | Sequence[str]  # One, or several, as "Ann Lee <ann@shop.example>" or the address alone.


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file to travel with a mail: its octets, or a `url` from which Outrider fetches it when the call comes in."""

    name: str = ""  # As the recipient sees it; "": the last part of the URL.
    type: str = ""  # Such as application/pdf; "": told by the name.
    content: bytes | None = None  # b"" is an empty file.
    url: str = ""
    content_id: str = ""  # For an image that the HTML shows as cid:CONTENT_ID.


def attach(path: str | os.PathLike[str], *, name: str = "", media_type: str = "", content_id: str = "") -> Attachment:
    """Read a file and return it as an attachment, under its own name unless another is given.

    Raises:
        OSError: it is not there, may not be read, or is no file.
    """
    found = Path(path)
    if found.exists() and not found.is_file():
        raise OSError(f"{found} is no file that can be attached")
    return Attachment(
        name=name or found.name,
        type=media_type or mimetypes.guess_type(name or found.name)[0] or "",
        content=found.read_bytes(),
        content_id=content_id,
    )


class Mail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mail to be sent. All of `to` and `cc` see each other, unless `separate`; nobody sees `bcc`."""

    sender: str = msgspec.field(name="from")
    to: Mailboxes
    subject: str = ""  # May be left out where a template has one.
    text: str | None = None
    html: str | None = None
    template: str = ""  # Id or name, in place of `text` and `html`.
    variables: Mapping[str, Any] = {}  # Without a `template`: for `{{ name }}` in `subject`, `text` and `html`.
    recipient_variables: Mapping[str, Mapping[str, Any]] = {}  # By address: its own besides; each gets its own mail.
    locale: str = ""  # Which language of the template.
    recipient_locales: Mapping[str, str] = {}
    preheader: str | None = None
    cc: Mailboxes = ()
    bcc: Mailboxes = ()
    reply_to: Mailboxes = ()
    separate: bool = False
    attachments: Sequence[Attachment] = ()
    headers: Mapping[str, str] = {}
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = {}
    stream: Literal["transactional", "marketing", ""] = ""  # "": as the template says, else transactional.
    campaign: str = ""
    list_name: str = msgspec.field(name="list", default="")
    send_at: datetime | None = None  # With its zone; a time of day that nobody knows the zone of is refused here.
    expires_s: float | None = None  # Seconds after `send_at`, or after now.
    pool: str = ""
    track_opens: bool | None = None
    track_clicks: bool | None = None

    def __post_init__(self) -> None:
        if self.send_at is not None and self.send_at.tzinfo is None:
            raise ValueError("send_at needs a time zone: datetime(..., tzinfo=UTC)")


class Rejected(msgspec.Struct, frozen=True):
    """A recipient that was not accepted; the others get their mail. A malformed one that they would see refuses all."""

    address: str
    reason: str


class Accepted(msgspec.Struct, frozen=True):
    """The mail is on disk there; its recipients live on under `id`."""

    id: str
    accepted_count: int
    rejected: Sequence[Rejected] = ()


class BatchPart(msgspec.Struct, frozen=True):
    """What became of one mail of a batch: it has an `id`, or an `error`."""

    id: str | None = None
    accepted_count: int = 0
    rejected: Sequence[Rejected] = ()
    error: Problem | None = None


class BatchAccepted(msgspec.Struct, frozen=True):
    """What became of a batch: `results` has one for each mail, in order."""

    accepted_count: int
    failed_count: int
    results: Sequence[BatchPart]


class Recipient(msgspec.Struct, frozen=True):
    """One recipient as it stands now."""

    address: str
    status: str  # queued, held, delivered, bounced, expired, suppressed or cancelled.
    reason: str = ""
    reply: str = ""  # The last thing another server said about it.
    attempt_count: int = 0
    next_attempt_at: datetime | None = None
    updated_at: datetime | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message and what became of it."""

    id: str
    sender: str = msgspec.field(name="from")
    from_name: str = ""
    subject: str = ""
    stream: str = ""
    campaign: str = ""
    list_name: str = msgspec.field(name="list", default="")
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = {}
    accepted_at: datetime
    send_at: datetime | None = None
    expires_at: datetime | None = None
    resent_from: str | None = None
    template: str = ""  # The id of the one it was made from; "": none that is stored.
    template_number: int = 0
    recipients: Sequence[Recipient] = ()


class MessageListed(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a list."""

    id: str
    sender: str = msgspec.field(name="from")
    from_name: str = ""
    to: Sequence[str] = ()  # The first recipients, five at most.
    subject: str = ""
    stream: str = ""
    campaign: str = ""
    list_name: str = msgspec.field(name="list", default="")
    tags: Sequence[str] = ()
    accepted_at: datetime
    send_at: datetime | None = None
    template: str = ""  # Id of the stored template it was made from.
    template_number: int = 0
    recipient_count: int = 0
    status_counts: Mapping[str, int] = {}


class MessagePage(msgspec.Struct, frozen=True):
    """A part of a list, newest first."""

    emails: Sequence[MessageListed]
    next: str | None = None

    @property
    def rows(self) -> Sequence[MessageListed]:
        """What is on it."""
        return self.emails

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none."""
        return self.next


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a message."""

    kind: str
    at: datetime
    recipient: str = ""  # "": it is about the whole message.
    attempt: int = 0
    reason: str = ""
    reply: str = ""  # What the other server said.
    facts: Mapping[str, str | int | float | bool] = {}


class MessageEventPage(msgspec.Struct, frozen=True):
    """A part of a message's events, oldest first."""

    events: Sequence[MessageEvent]
    next: str | None = None

    @property
    def rows(self) -> Sequence[MessageEvent]:
        """What is on it."""
        return self.events

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none."""
        return self.next


class Event(MessageEvent, frozen=True, kw_only=True):
    """An entry of the project's event log. Its `id` stays the same however often it comes, and is good for `after`."""

    id: str
    message_id: str | None = None  # None: it is about no message, but a domain.
    sender: str = msgspec.field(name="from", default="")
    subject: str = ""
    stream: str | None = None
    campaign: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)


class EventPage(msgspec.Struct, frozen=True):
    """A part of the event log, as things were written. Keep `next`, whatever is on the page: nothing is missed then."""

    events: Sequence[Event]
    next: str
    has_more: bool = False

    @property
    def rows(self) -> Sequence[Event]:
        """What is on it."""
        return self.events

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none yet."""
        return self.next if self.has_more else None


class FileShown(msgspec.Struct, frozen=True):
    """A file of a message, without its octets."""

    name: str
    type: str
    size_bytes: int
    content_id: str = ""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in."""

    id: str
    sender: str = msgspec.field(name="from")
    from_name: str = ""
    subject: str = ""
    text: str | None = None
    html: str | None = None
    to: Sequence[str] = ()  # As To shows it; empty: each recipient sees itself alone.
    cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Mapping[str, str] = {}
    attachments: Sequence[FileShown] = ()
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = {}


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancel stopped. Mail that a server has already is not called back."""

    id: str
    cancelled_count: int  # Recipients who get nothing more; of a cancel that was repeated, what the last one stopped.


class TemplateVersion(msgspec.Struct, frozen=True):
    """A version of a template."""

    number: int
    state: str  # draft, pending, published, replaced, rejected.
    subject: str = ""
    variables: Sequence[str] = ()  # Those without a default.
    partials: Sequence[str] = ()
    created_at: datetime | None = None
    published_at: datetime | None = None


class TemplateVersionPage(msgspec.Struct, frozen=True):
    """A part of a template's versions, newest first."""

    versions: Sequence[TemplateVersion]
    next: str | None = None

    @property
    def rows(self) -> Sequence[TemplateVersion]:
        """What is on it."""
        return self.versions

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none."""
        return self.next


class TemplateListed(msgspec.Struct, frozen=True, kw_only=True):
    """A template in a list. `subject` and `variables` are those of what is sent, else of what would be edited."""

    id: str
    name: str
    stream: str
    state: str  # draft, pending, reviewing, approved (its mail may be sent), rejected, disabled.
    state_reason: str = ""
    published_number: int | None = None  # The version that is sent.
    head_number: int = 0  # The version that an edit goes on from.
    subject: str = ""
    variables: Sequence[str] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


class TemplatePage(msgspec.Struct, frozen=True):
    """A part of the templates, newest first."""

    templates: Sequence[TemplateListed]
    next: str | None = None

    @property
    def rows(self) -> Sequence[TemplateListed]:
        """What is on it."""
        return self.templates

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none."""
        return self.next


class TemplateVariant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template in one language; the first of several is for everybody else."""

    subject: str
    body: str
    locale: str = ""  # "de", "pt-BR".
    preheader: str = ""
    text: str | None = None  # None: made from the body.


class Template(TemplateListed, frozen=True, kw_only=True):
    """A template with one of its versions, as it was written."""

    version: TemplateVersion
    markup: str = "html"  # html, mjml, text.
    syntax: str = "jinja"  # jinja, braces.
    variants: Sequence[TemplateVariant] = ()
    defaults: Mapping[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    is_lenient: bool = False


class Fault(msgspec.Struct, frozen=True):
    """Something plainly wrong with a mail."""

    code: str
    severity: str  # error, warning.
    sentence: str
    where: str = ""


class Preview(msgspec.Struct, frozen=True):
    """What a mail looks like."""

    subject: str
    html: str | None = None
    text: str | None = None
    lint: Sequence[Fault] = ()


class Partial(msgspec.Struct, frozen=True):
    """A piece that templates include."""

    name: str
    source: str
    updated_at: datetime | None = None

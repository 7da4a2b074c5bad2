"""The records of /v1/emails, as JSON has them: what comes in, what goes out, what a query may ask.

What each field means is its `description`, which the OpenAPI document carries to callers. What comes in refuses fields
that it does not know: a misspelt `bcc` must not become a mail that nobody gets. Limits are the engine's to tell; here
stand only those of types, and of lists that would cost something to read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.vocab import EventKind, RecipientStatus, Stream
from outrider.faces.api.v1.problem import Problem

Mailboxes = str | list[str]  # One, or several.
_SENDER = "Example Shop <noreply@shop.example>"
MAILBOX = "Ann Lee <ann@shop.example>, or the address alone."
Instant = Annotated[datetime, Meta(tz=True)]  # In JSON with its offset from UTC; ours are in UTC.
_FROM_WORDS = f"A sender of the project: {MAILBOX}"
_VARIABLES_WORDS = (
    "What the template is filled in with. Without `template`: `subject`, `html` and `text` are one, {{ name }} in them"
    " a variable."
)
_TO_WORDS = f"One or several of: {MAILBOX} All see all, unless `separate`."


class NewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to travel with the mail: its `content`, or a `url` to fetch it from when the call comes in."""

    name: Annotated[str, Meta(description="As the recipient sees it. Without it: the last part of the URL.")] = ""
    type: Annotated[str, Meta(description="Such as application/pdf. Without it: told by the name.")] = ""
    content: Annotated[str | None, Meta(description="Base64; of an empty file it is empty.")] = None
    url: Annotated[str, Meta(description="http or https, of a public address.")] = ""
    content_id: Annotated[str, Meta(description="For an image that the HTML shows as cid:CONTENT_ID.")] = ""


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail to be sent."""

    sender: Annotated[str, Meta(description=_FROM_WORDS, examples=[_SENDER])] = msgspec.field(name="from")
    to: Annotated[Mailboxes, Meta(description=_TO_WORDS, examples=[["user@partner.example"]])]
    subject: Annotated[
        str, Meta(description="May be left out where a template has one.", examples=["Your Order Confirmation"])
    ] = ""
    text: Annotated[
        str | None, Meta(description="Plain text; this, `html` or both.", examples=["Thank you for your order."])
    ] = None
    html: str | None = None
    template: Annotated[str, Meta(description="Id or name of a template, in place of `text` and `html`.")] = ""
    variables: Annotated[dict[str, Any], Meta(description=_VARIABLES_WORDS, examples=[{"name": "Ann"}])] = {}
    recipient_variables: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="By address: what this recipient's mail is filled in with besides. Implies `separate`."),
    ] = {}
    locale: Annotated[str, Meta(description="Which language of the template: de, pt-BR.")] = ""
    recipient_locales: Annotated[dict[str, str], Meta(description="By address, in place of `locale`.")] = {}
    preheader: Annotated[str | None, Meta(description="In place of the template's.")] = None
    cc: Mailboxes = []
    bcc: Annotated[Mailboxes, Meta(description="They get the mail, and nobody sees that.")] = []
    reply_to: Mailboxes = []
    separate: Annotated[bool, Meta(description="Each of `to` gets a mail that shows no other address.")] = False
    attachments: list[NewFile] = []
    headers: Annotated[dict[str, str], Meta(description="Further header fields, in this order.")] = {}
    tags: Annotated[list[str], Meta(description="Words to find and count mail by.")] = []
    metadata: Annotated[dict[str, str], Meta(description="Yours; comes back with every event.")] = {}
    stream: Annotated[
        Stream | UnsetType, Meta(description="Without it: as the template says; transactional if none does.")
    ] = UNSET
    campaign: Annotated[str, Meta(description="The mailing it belongs to: judged and held together.")] = ""
    list_name: Annotated[str, Meta(description="The list it is for: who left that list gets none of it.")] = (
        msgspec.field(name="list", default="")
    )
    send_at: Annotated[Instant | None, Meta(description="Not before; within 30 days.")] = None
    expires_s: Annotated[float | None, Meta(description="How long after `send_at` it may still be tried.")] = None
    pool: Annotated[str, Meta(description="Which sources carry it; without it as the project is set up.")] = ""
    track_opens: Annotated[bool | None, Meta(description="Without it: as the sending domain says.")] = None
    track_clicks: Annotated[bool | None, Meta(description="Without it: as the sending domain says.")] = None


class RejectedRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient that was not accepted; the others get their mail. A malformed one that they would see refuses all."""

    address: str
    reason: str


class MessageAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """It is on disk. Its recipients live on under `id`."""

    id: UUID
    accepted_count: int
    rejected: Sequence[RejectedRecipient] = ()


class RecipientShown(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient as it stands now."""

    address: str
    status: RecipientStatus
    reason: Annotated[str, Meta(description="Why it is in this status, empty if there is nothing to say.")]
    reply: Annotated[str, Meta(description="The last thing another server said about it.")]
    attempt_count: int
    next_attempt_at: Annotated[Instant | None, Meta(description="null: none is planned.")]
    updated_at: Instant


class MessageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A message and what became of it."""

    id: UUID
    sender: str = msgspec.field(name="from")
    from_name: str
    subject: str
    stream: Stream
    campaign: str
    list_name: str = msgspec.field(name="list")
    tags: Sequence[str]
    metadata: Mapping[str, str]
    accepted_at: Instant
    send_at: Instant | None
    expires_at: Instant
    resent_from: Annotated[UUID | None, Meta(description="The message whose content this one has.")]
    template: Annotated[str, Meta(description="Id of the template it was made from; empty: none that is stored.")]
    template_number: Annotated[int, Meta(description="Its version; 0: none.")]
    recipients: Sequence[RecipientShown]


class LooseBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `NewBatch` whose mails are read one by one: one that is malformed harms no other."""

    messages: Annotated[
        list[msgspec.Raw], Meta(min_length=1, max_length=limits.BATCH_COUNT_MAX, description="1 to 1,000 mails.")
    ] = msgspec.field(name="emails")


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails to be handed in together; each is accepted or refused for itself."""

    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=limits.BATCH_COUNT_MAX)] = msgspec.field(
        name="emails"
    )


class BatchPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one mail of a batch: it has an `id`, or an `error`."""

    id: UUID | UnsetType = UNSET
    accepted_count: int | UnsetType = UNSET
    rejected: Sequence[RejectedRecipient] | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class BatchAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: `results` has one for each mail, in order."""

    accepted_count: Annotated[int, Meta(description="Mails with an id.")]
    failed_count: Annotated[int, Meta(description="Mails with an error.")]
    results: Sequence[BatchPart]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages to list."""

    status: Annotated[list[RecipientStatus], Meta(description="A recipient is in one of these.")] = []
    to: Annotated[str, Meta(description="An address among the recipients.")] = ""
    sender: Annotated[str, Meta(description="The address in From.")] = msgspec.field(name="from", default="")
    tag: str = ""
    stream: Stream | None = None
    campaign: str = ""
    subject: Annotated[str, Meta(description="A part of the subject, in any case.", max_length=200)] = ""
    since: Annotated[Instant | None, Meta(description="Accepted then or later.")] = None
    until: Annotated[Instant | None, Meta(description="Accepted before.")] = None
    after: Annotated[str, Meta(description="`next` of the page before; without it: the newest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 25


class MessageListed(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a list."""

    id: UUID
    sender: str = msgspec.field(name="from")
    from_name: str
    to: Annotated[Sequence[str], Meta(description="The first recipients, five at most.")]
    subject: str
    stream: Stream
    campaign: str
    list_name: str = msgspec.field(name="list")
    tags: Sequence[str]
    accepted_at: Instant
    send_at: Instant | None
    template: Annotated[str, Meta(description="Id of the template it was made from; empty: none that is stored.")]
    template_number: Annotated[int, Meta(description="Its version; 0: none.")]
    recipient_count: int
    status_counts: Annotated[Mapping[RecipientStatus, int], Meta(description="Recipients by status.")]


class MessageList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first. It may hold fewer than `limit` though more follow: go on while there is a `next`."""

    emails: Sequence[MessageListed]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to list."""

    after: Annotated[str, Meta(description="`next` of the page before; without it: the oldest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a message."""

    kind: EventKind
    at: Instant
    recipient: Annotated[str, Meta(description="Empty: it is about the whole message.")]
    attempt: int
    reason: str
    reply: Annotated[str, Meta(description="What the other server said.")]
    facts: Annotated[
        Mapping[str, str | int | float | bool], Meta(description="Such as host, ip, tls: see the list of events.")
    ]


class MessageEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a message's events, oldest first."""

    events: Sequence[MessageEvent]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more so far.")]


class FileShown(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a message, without its octets."""

    name: str
    type: str
    size_bytes: int
    content_id: str


class MessageContent(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in."""

    id: UUID
    sender: str = msgspec.field(name="from")
    from_name: str
    subject: str
    text: str | None
    html: str | None
    template: Annotated[str, Meta(description="Id of the template it was made from; empty: none that is stored.")]
    template_number: Annotated[int, Meta(description="Its version; 0: none.")]
    is_template: Annotated[
        bool, Meta(description="`subject`, `text` and `html` are to be filled in; with `recipient` they are.")
    ]
    to: Annotated[Sequence[str], Meta(description="As To shows it; empty: each recipient sees itself alone.")]
    cc: Sequence[str]
    reply_to: Sequence[str]
    headers: Mapping[str, str]
    attachments: Sequence[FileShown]
    stream: Stream
    campaign: str
    list_name: str = msgspec.field(name="list")
    tags: Sequence[str]
    metadata: Mapping[str, str]
    accepted_at: Instant
    send_at: Instant | None
    expires_at: Instant


class ContentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose content to show."""

    recipient: Annotated[str, Meta(description="An address of the mail: what it got, filled in.")] = ""


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancel stopped. Mail that a server has already is not called back."""

    id: UUID
    cancelled_count: Annotated[int, Meta(description="Recipients who get nothing more.")]


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """What a release let go."""

    id: UUID
    released_count: Annotated[int, Meta(description="Recipients who are queued again.")]


class ResendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to send it to again."""

    to: Annotated[list[str], Meta(description="Those of its recipients; without it: all.", max_length=100)] = []
    status: Annotated[list[RecipientStatus], Meta(description="Only those whose mail ended so.")] = []

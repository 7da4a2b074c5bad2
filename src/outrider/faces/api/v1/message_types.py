"""The records of /v1/emails, as JSON has them; what each field means is in the OpenAPI document."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from outrider.base.vocab import RecipientStatus, Stream

Mailboxes = str | list[str]  # One, or several.
MAILBOX = "Ann Lee <ann@shop.example>, or the address alone."


class NewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to travel with the mail: its `content`, or a `url` to fetch it from when the call comes in."""

    name: Annotated[str, Meta(description="As the recipient sees it. Without it: the last part of the URL.")] = ""
    type: Annotated[str, Meta(description="Such as application/pdf. Without it: told by the name.")] = ""
    content: Annotated[str, Meta(description="Base64.")] = ""
    url: Annotated[str, Meta(description="http or https, of a public address.")] = ""
    content_id: Annotated[str, Meta(description="For an image that the HTML shows as cid:CONTENT_ID.")] = ""


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail to be sent."""

    sender: Annotated[str, Meta(description=f"A sender of the project: {MAILBOX}")] = msgspec.field(name="from")
    to: Annotated[Mailboxes, Meta(description=f"One or several of: {MAILBOX} All see all, unless `separate`.")]
    subject: str
    text: Annotated[str | None, Meta(description="Plain text; this, `html` or both.")] = None
    html: str | None = None
    cc: Mailboxes = []
    bcc: Annotated[Mailboxes, Meta(description="They get the mail, and nobody sees that.")] = []
    reply_to: Mailboxes = []
    separate: Annotated[bool, Meta(description="Each of `to` gets a mail that shows no other address.")] = False
    attachments: list[NewFile] = []
    headers: Annotated[dict[str, str], Meta(description="Further header fields, in this order.")] = {}
    tags: Annotated[list[str], Meta(description="Words to find and count mail by.")] = []
    metadata: Annotated[dict[str, str], Meta(description="Yours; comes back with every event.")] = {}
    stream: Stream = Stream.TRANSACTIONAL
    campaign: Annotated[str, Meta(description="The mailing it belongs to: judged and held together.")] = ""
    list_name: Annotated[str, Meta(description="The list it is for: who left that list gets none of it.")] = (
        msgspec.field(name="list", default="")
    )
    send_at: Annotated[datetime | None, Meta(description="Not before; within 30 days.")] = None
    expires_s: Annotated[float | None, Meta(description="How long after `send_at` it may still be tried.")] = None
    pool: Annotated[str, Meta(description="Which sources carry it; without it as the project is set up.")] = ""
    track_opens: Annotated[bool | None, Meta(description="Without it: as the sending domain says.")] = None
    track_clicks: Annotated[bool | None, Meta(description="Without it: as the sending domain says.")] = None


class RejectedRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient that was not accepted; the others are unharmed."""

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
    next_attempt_at: Annotated[datetime | None, Meta(description="null: none is planned.")]
    updated_at: datetime


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
    accepted_at: datetime
    send_at: datetime | None
    expires_at: datetime
    resent_from: Annotated[UUID | None, Meta(description="The message whose content this one has.")]
    recipients: Sequence[RecipientShown]

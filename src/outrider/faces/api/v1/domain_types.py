"""The records of /v1/domains, as JSON has them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.vocab import KeyState, RecordCause, RecordKind, RecordState, SenderRule, Stream

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]
_RATE = Meta(ge=1, le=limits.DOMAIN_PER_MINUTE_COUNT_MAX, description="Mails a minute; null: no limit of its own.")


class NewDomain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain to send from."""

    name: Annotated[str, Meta(examples=["shop.example"])]
    stream: Annotated[Stream | None, Meta(description="The only kind of mail it is to send; without it: both.")] = None
    return_path: Annotated[
        str | None, Meta(description="The host its bounces come back to. Without it: `bounces.` before the name.")
    ] = None
    tracking_host: Annotated[str, Meta(description="A host below it for links; empty: none.")] = ""
    algorithms: Annotated[
        list[Algorithm], Meta(min_length=1, max_length=2, description="What to sign with, a key each.")
    ] = ["rsa-sha256", "ed25519-sha256"]


class DomainChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. Of a proven domain only what is empty can be given a value."""

    stream: Annotated[Stream | UnsetType | None, Meta(description="null: both kinds of mail.")] = UNSET
    return_path: Annotated[str | UnsetType, Meta(description="Empty: none of its own.")] = UNSET
    tracking_host: Annotated[str | UnsetType, Meta(description="Empty: none.")] = UNSET
    rate_per_minute: Annotated[int, _RATE] | UnsetType | None = UNSET
    senders: Annotated[SenderRule | UnsetType, Meta(description="Which of its addresses may send.")] = UNSET


class DomainShown(msgspec.Struct, frozen=True, kw_only=True):
    """A sending domain."""

    name: str
    state: Annotated[RecordState, Meta(description="What the last look at its records found.")]
    stream: Stream | None
    return_path: str
    tracking_host: str
    rate_per_minute: int | None
    senders: SenderRule
    is_delegated: Annotated[bool, Meta(description="Its DKIM records are CNAMEs into the operator's zone.")]
    created_at: datetime
    verified_at: Annotated[datetime | None, Meta(description="Since when it may send; null: not yet.")]
    checked_at: datetime | None
    failing_since: datetime | None
    stopped_at: Annotated[datetime | None, Meta(description="Since when its mail is refused, for want of records.")]


class DnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record to publish, and what DNS said of it last."""

    kind: RecordKind
    type: str
    host: Annotated[str, Meta(description="Fully qualified, without the last dot.")]
    value: Annotated[str, Meta(description="Of a TXT record the whole text, merged with what is published there.")]
    strings: Annotated[Sequence[str], Meta(description="Of a TXT record: the strings that it is published in.")]
    is_required: bool
    why: str
    state: RecordState
    cause: Annotated[RecordCause, Meta(description="Why it did not pass; empty: it did, or nobody has looked.")]
    seen: Annotated[Sequence[str], Meta(description="What is published there.")]
    advice: str
    checked_at: datetime | None
    failing_since: datetime | None


class DomainDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A domain with its records."""

    domain: DomainShown
    stops_at: Annotated[datetime | None, Meta(description="When its mail will be refused if its records stay wrong.")]
    note: Annotated[str, Meta(description="What stands in the way besides records.")]
    records: Sequence[DnsRecord]


class DomainList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, by name."""

    domains: Sequence[DomainShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class DkimKeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A DKIM key of a domain, or a name that it keeps for its next one."""

    selector: str
    algorithm: str
    state: Annotated[KeyState | None, Meta(description="null: the name is kept for a later key.")]
    host: str
    record: Annotated[str, Meta(description="The TXT text that receivers must find there, or behind `target`.")]
    target: Annotated[str, Meta(description="Delegated: what the CNAME at `host` names.")]
    is_needed: Annotated[bool, Meta(description="false: the record may be removed.")]
    is_own: Annotated[bool, Meta(description="It was brought, not made here.")]
    is_published: Annotated[bool | None, Meta(description="What DNS said last; null: it was not asked yet.")]
    changed_at: datetime | None
    needed_until: datetime | None


class DkimKeyList(msgspec.Struct, frozen=True, kw_only=True):
    """The DKIM keys of a domain."""

    keys: Sequence[DkimKeyShown]


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which keys to make anew."""

    algorithms: Annotated[list[Algorithm], Meta(max_length=2, description="Without it: those that it has.")] = []

"""/v1/domains: add a sending domain, see what to publish, have DNS looked at, change it, renew its keys, give it up.

A domain is named by its name, within the project of the key: another project's is not there. Nobody says over the API
that a domain is verified: DNS does, or an operator on the command line.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.vocab import KeyScope, KeyState, MtaSts, RecordCause, RecordKind, RecordState, SenderRule, Stream
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.dkim_keys import KeyEntry
from outrider.services.identity import Domain
from outrider.services.verification import DomainReport

_FIELDS: Final = {"domain": "name"}
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
    ] = msgspec.field(default_factory=lambda: list[Algorithm](["rsa-sha256", "ed25519-sha256"]))


class DomainChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. Of a proven domain a stream or host that is set cannot be changed."""

    stream: Annotated[Stream | UnsetType | None, Meta(description="null: both kinds of mail.")] = UNSET
    return_path: Annotated[str | UnsetType, Meta(description="Empty: none of its own.")] = UNSET
    tracking_host: Annotated[str | UnsetType, Meta(description="Empty: none.")] = UNSET
    mta_sts: Annotated[
        MtaSts | UnsetType,
        Meta(description="The policy for mail to its return path. `none` ends one: some days later, `off`."),
    ] = UNSET
    bimi_logo: Annotated[str | UnsetType, Meta(description="The https URL of its logo; empty: none.")] = UNSET
    bimi_certificate: Annotated[
        str | UnsetType, Meta(description="The https URL of the logo's mark certificate; empty: none.")
    ] = UNSET
    rate_per_minute: Annotated[int, _RATE] | UnsetType | None = UNSET
    senders: Annotated[SenderRule | UnsetType, Meta(description="Which of its addresses may send.")] = UNSET


class DomainShown(msgspec.Struct, frozen=True, kw_only=True):
    """A sending domain."""

    name: str
    state: Annotated[RecordState, Meta(description="What the last look at its records found.")]
    stream: Stream | None
    return_path: str
    tracking_host: str
    mta_sts: Annotated[MtaSts, Meta(description="The policy for mail to its return path.")]
    bimi_logo: str
    bimi_certificate: str
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


class RemovableRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that nobody needs any more."""

    type: str
    host: str


class DomainDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A domain with its records."""

    domain: DomainShown
    stops_at: Annotated[datetime | None, Meta(description="When its mail will be refused if its records stay wrong.")]
    note: Annotated[str, Meta(description="What stands in the way besides records.")]
    records: Sequence[DnsRecord]
    mta_sts_policy: Annotated[
        str, Meta(description="The file at /.well-known/mta-sts.txt of the return path's mta-sts host; empty: none.")
    ]
    removable: Annotated[
        Sequence[RemovableRecord], Meta(description="What nobody needs any more: records of retired DKIM keys.")
    ]


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to give a domain up."""

    drop: Annotated[
        bool, Meta(description="Cancel its mail that waits. Without it, a domain with such mail stays.")
    ] = False


class ReleasedDomain(msgspec.Struct, frozen=True, kw_only=True):
    """What was given up."""

    name: str
    dropped_count: Annotated[int, Meta(description="Mails that waited and were cancelled.")]


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


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/domains."""
    acts = _Domains(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Domains", fields=_FIELDS, **more)

    return [
        row("POST", "/domains", acts.add_domain, KeyScope.MANAGE, status=201),
        row("GET", "/domains", acts.list_domains, KeyScope.READ),
        row("GET", "/domains/{name}", acts.show_domain, KeyScope.READ),
        row("PATCH", "/domains/{name}", acts.change_domain, KeyScope.MANAGE),
        row("DELETE", "/domains/{name}", acts.remove_domain, KeyScope.MANAGE),
        row("POST", "/domains/{name}/release", acts.release_domain, KeyScope.MANAGE),
        row("POST", "/domains/{name}/verify", acts.verify_domain, KeyScope.MANAGE),
        row("GET", "/domains/{name}/keys", acts.list_domain_keys, KeyScope.READ),
        row("POST", "/domains/{name}/keys/rotate", acts.rotate_domain_keys, KeyScope.MANAGE),
    ]


class _Domains:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def add_domain(self, call: Call, body: NewDomain) -> DomainDetails:
        """Add a domain to send from, with its DKIM keys. Publish its records, then have it verified. Safe twice."""
        services = self._ports.services
        made = await services.identity.add_domain(
            call.project_id,
            body.name,
            is_verified=False,
            algorithms=body.algorithms,
            stream=body.stream,
            return_path=body.return_path,
            tracking_host=body.tracking_host,
        )
        return _details(await services.verification.report(call.project_id, made.name))

    async def list_domains(self, call: Call, query: PageQuery) -> DomainList:
        """List the domains, by name."""
        found = await self._ports.services.identity.list_domains(
            call.project_id, after=query.after, count_max=query.limit + 1
        )
        page, next_cursor = paging.cut(found, query.limit, lambda one: one.name)
        return DomainList(domains=[_shown(one) for one in page], next=next_cursor)

    async def show_domain(self, call: Call, name: str) -> DomainDetails:
        """Show a domain and the records to publish, with what DNS said of them last. Nobody is asked now."""
        return _details(await self._ports.services.verification.report(call.project_id, name))

    async def verify_domain(self, call: Call, name: str) -> DomainDetails:
        """Ask DNS about a domain's records now. Once all that it needs are there it may send."""
        return _details(await self._ports.services.verification.verify(call.project_id, name))

    async def change_domain(self, call: Call, name: str, body: DomainChange) -> DomainDetails:
        """Change what a domain is for, its hosts, its optional records, its rate, and who may send from it."""
        await self._ports.services.identity.change_domain(call.project_id, name, reading.given(body))
        return _details(await self._ports.services.verification.report(call.project_id, name))

    async def remove_domain(self, call: Call, name: str) -> None:
        """Remove a domain that was never proven, with its keys and senders."""
        await self._ports.services.identity.remove_domain(call.project_id, name)

    async def release_domain(self, call: Call, name: str, body: Release) -> ReleasedDomain:
        """Give up a domain, proven or not, with its keys and senders; another project may prove it. Takes a second."""
        done = await self._ports.services.releases.release(call.project_id, name, is_dropping=body.drop)
        return ReleasedDomain(name=done.name, dropped_count=done.dropped_count)

    async def list_domain_keys(self, call: Call, name: str) -> DkimKeyList:
        """List a domain's DKIM keys and their records."""
        found = await self._ports.services.keys.entries(call.project_id, name)
        return DkimKeyList(keys=[_key(one) for one in found])

    async def rotate_domain_keys(self, call: Call, name: str, body: Rotation) -> DkimKeyList:
        """Make new DKIM keys, which sign once their records are seen; the old ones do until then. Safe twice."""
        found = await self._ports.services.keys.rotate(call.project_id, name, algorithms=body.algorithms)
        return DkimKeyList(keys=[_key(one) for one in found])


def _shown(one: Domain) -> DomainShown:
    return DomainShown(
        name=one.name,
        state=one.state,
        stream=one.stream,
        return_path=one.return_path,
        tracking_host=one.tracking_host,
        mta_sts=one.mta_sts,
        bimi_logo=one.bimi_logo,
        bimi_certificate=one.bimi_certificate,
        rate_per_minute=one.rate_per_minute,
        senders=SenderRule(one.senders),
        is_delegated=one.is_delegated,
        created_at=one.created_at,
        verified_at=one.verified_at,
        checked_at=one.checked_at,
        failing_since=one.failing_since,
        stopped_at=one.stopped_at,
    )


def _details(report: DomainReport) -> DomainDetails:
    names = set(DnsRecord.__struct_fields__)
    return DomainDetails(
        domain=_shown(report.domain),
        stops_at=report.stops_at,
        note=report.note,
        records=[
            DnsRecord(**{name: value for name, value in msgspec.structs.asdict(one).items() if name in names})
            for one in report.records
        ],
        mta_sts_policy=report.mta_sts_policy,
        removable=[RemovableRecord(type=one.type, host=one.host) for one in report.removable],
    )


def _key(one: KeyEntry) -> DkimKeyShown:
    return DkimKeyShown(
        **{name: value for name, value in msgspec.structs.asdict(one).items() if name in DkimKeyShown.__struct_fields__}
    )

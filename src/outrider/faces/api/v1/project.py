"""/v1/project, /v1/notices, /v1/guards, /v1/queue: a project itself, its notices, and what waits why.

Quotas are shown and not changed, and a guard is not released: both are an operator's. What waits is told without the
names of nodes and without what other projects have waiting.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base.vocab import EventKind, KeyScope, Stream, UnalignedFrom
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import content, paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.content import PolicyChange, PolicyShown
from outrider.faces.api.v1.paging import LIMIT_MAX
from outrider.faces.api.v1.routes import Act, Route
from outrider.policy.guard import GuardLevel
from outrider.services import notices as service
from outrider.services.notices import Notice

_LANES_COUNT: Final = 200  # Ours: the deepest; who has more looks at the domain that matters.


class QuotaShown(msgspec.Struct, frozen=True, kw_only=True):
    """What may be sent, in recipients, by UTC; an operator sets it."""

    day: Annotated[int | None, Meta(description="null: as much as it likes.")]
    day_used: int
    month: Annotated[int | None, Meta(description="null: as much as it likes.")]
    month_used: int


class ProjectShown(msgspec.Struct, frozen=True, kw_only=True):
    """The project whose key calls."""

    id: UUID
    name: str
    quota: QuotaShown
    notice_address: Annotated[str, Meta(description="Where notices are mailed; empty: nowhere.")]
    unaligned_from: Annotated[UnalignedFrom, Meta(description="What becomes of mail that would fail DMARC.")]
    bounce_domain: Annotated[str, Meta(description="Where bounces come back to; empty: to the senders.")]
    content: PolicyShown
    kept_days: Annotated[int, Meta(description="For how many days mail and its events are kept.")]
    has_own_kept_days: Annotated[bool, Meta(description="If not, it is the installation's.")]


class ProjectChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    notice_address: Annotated[str | UnsetType, Meta(description="Empty: nowhere.")] = UNSET
    unaligned_from: UnalignedFrom | UnsetType = UNSET
    content: PolicyChange | UnsetType = UNSET
    kept_days: Annotated[int | UnsetType | None, Meta(description="null: as the installation says.")] = UNSET


class NoticesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which notices to list."""

    with_seen: Annotated[bool, Meta(description="Those that were seen, too.")] = False
    after: Annotated[str, Meta(description="`next` of the page before; without it: the newest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 100


class NoticeShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the project's people should know of."""

    id: UUID
    kind: EventKind
    subject: str
    text: str
    at: datetime
    seen_at: datetime | None
    mailed_at: datetime | None


class NoticeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first."""

    notices: Sequence[NoticeShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class NoticesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How many had not been seen."""

    seen_count: int


class GuardShown(msgspec.Struct, frozen=True, kw_only=True):
    """A domain, a campaign or the whole project, as its figures of the last day are judged."""

    domain: Annotated[str, Meta(description="Empty: the whole project, or a campaign.")]
    campaign: str
    stream: Stream
    sent: int
    invalid: Annotated[int, Meta(description="To addresses that do not exist.")]
    complained: int
    state: GuardLevel
    since: datetime | None
    sentence: Annotated[str, Meta(description="Why, as it was when the state began.")]


class GuardList(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever sent enough in a day to be judged, or is held back."""

    guards: Sequence[GuardShown]


class LaneShown(msgspec.Struct, frozen=True, kw_only=True):
    """Mail that waits, of one stream and sending domain, to one destination."""

    route: Annotated[str, Meta(description="The recipients' domain.")]
    provider: str
    domain: Annotated[str, Meta(description="The sending domain.")]
    stream: str
    campaign: str
    depth: Annotated[int, Meta(description="Recipients.")]
    is_depth_capped: Annotated[bool, Meta(description="There are more.")]
    oldest_due_at: datetime | None
    state: str
    why: str
    paused_until: datetime | None


class QueueShown(msgspec.Struct, frozen=True, kw_only=True):
    """What waits: the deepest 200 lanes."""

    lanes: Sequence[LaneShown]
    lane_count: int
    recipient_count: int


class WhyShown(msgspec.Struct, frozen=True, kw_only=True):
    """One cause, and for how many recipients."""

    count: int
    state: str
    sentence: str


class WhyList(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail's recipients wait for, or what became of them."""

    causes: Sequence[WhyShown]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of a project itself."""
    acts = _Project(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, tag: str = "Project", **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag=tag, **more)

    return [
        row("GET", "/project", acts.show_project, KeyScope.READ),
        row("PATCH", "/project", acts.change_project, KeyScope.MANAGE),
        row("GET", "/notices", acts.list_notices, KeyScope.READ),
        row("POST", "/notices/seen", acts.see_notices, KeyScope.MANAGE),
        row("POST", "/notices/{id}/seen", acts.see_notice, KeyScope.MANAGE),
        row("GET", "/guards", acts.list_guards, KeyScope.READ),
        row("GET", "/queue", acts.show_queue, KeyScope.READ),
        row("GET", "/emails/{id}/why", acts.show_why, KeyScope.READ, "Emails"),
    ]


class _Project:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def show_project(self, call: Call) -> ProjectShown:
        """Show the project: its quota and what it has had of it, and its settings."""
        services, project_id = self._ports.services, call.project_id
        quota = await services.quotas.view(project_id)
        kept = await services.retentions.view(project_id)
        return ProjectShown(
            id=project_id,
            name=await services.accounts.name_of(project_id),
            quota=QuotaShown(day=quota.day, day_used=quota.day_used, month=quota.month, month_used=quota.month_used),
            notice_address=await services.notices.address(project_id),
            unaligned_from=await services.senders.alignment(project_id),
            bounce_domain=(await services.identity.bounce_domain(project_id)).name,
            content=content.policy_shown(await services.contents.policy(project_id)),
            kept_days=kept.days,
            has_own_kept_days=kept.is_own,
        )

    async def change_project(self, call: Call, body: ProjectChange) -> ProjectShown:
        """Change the project's settings, all that are named or none."""
        changes = reading.given(body)
        if not isinstance(body.content, UnsetType):
            changes["content"] = reading.given(body.content)
        await self._ports.services.project_terms.change(call.project_id, changes)
        return await self.show_project(call)

    async def list_notices(self, call: Call, query: NoticesQuery) -> NoticeList:
        """List what the project's people should know of, newest first."""
        found = await self._ports.services.notices.page(
            call.project_id, with_seen=query.with_seen, cursor=query.after, count_max=query.limit + 1
        )
        page, next_cursor = paging.cut(found, query.limit, service.place_of)
        return NoticeList(notices=[_notice(one) for one in page], next=next_cursor)

    async def see_notice(self, call: Call, id: UUID) -> None:  # noqa: A002 - the name in the path.
        """Mark a notice as seen. Safe twice."""
        await self._ports.services.notices.see(call.project_id, id)

    async def see_notices(self, call: Call) -> NoticesSeen:
        """Mark all notices as seen."""
        return NoticesSeen(seen_count=await self._ports.services.notices.see_all(call.project_id))

    async def list_guards(self, call: Call) -> GuardList:
        """List what is judged by its bounces and complaints, and what is slowed or paused for them."""
        found = await self._ports.services.guards(call.project_id)
        return GuardList(
            guards=[
                GuardShown(
                    domain=one.sender_domain,
                    campaign=one.campaign,
                    stream=one.stream,
                    sent=one.sent,
                    invalid=one.invalid,
                    complained=one.complained,
                    state=one.state,
                    since=one.since,
                    sentence=one.sentence,
                )
                for one in found
            ]
        )

    async def show_queue(self, call: Call) -> QueueShown:
        """Show what waits, where, and why."""
        view = await self._ports.services.explainer.queue(project_id=call.project_id, count_max=_LANES_COUNT)
        return QueueShown(
            lanes=[
                LaneShown(
                    route=one.route,
                    provider=one.provider,
                    domain=one.sender_domain,
                    stream=one.stream,
                    campaign=one.campaign,
                    depth=one.depth,
                    is_depth_capped=one.is_depth_capped,
                    oldest_due_at=one.oldest_due_at,
                    state=one.state,
                    why=one.why,
                    paused_until=one.paused_until,
                )
                for one in view.lanes
            ],
            lane_count=view.lane_count,
            recipient_count=view.recipient_count,
        )

    async def show_why(self, call: Call, id: UUID) -> WhyList:  # noqa: A002
        """Say what the recipients of a mail wait for, or what became of them."""
        await self._ports.mail.message(call.project_id, id)
        found = await self._ports.services.explainer.why(str(id), project_id=call.project_id)
        lines = [line for one in found for line in one.lines]
        return WhyList(causes=[WhyShown(count=one.count, state=one.state, sentence=one.sentence) for one in lines])


def _notice(one: Notice) -> NoticeShown:
    return NoticeShown(
        id=one.notice_id,
        kind=one.kind,
        subject=one.subject,
        text=one.text,
        at=one.at,
        seen_at=one.seen_at,
        mailed_at=one.mailed_at,
    )

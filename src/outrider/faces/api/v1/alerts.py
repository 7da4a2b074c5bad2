"""/v1/alerts and /v1/reputation: figures that are watched, and how mail is seen by those who get it.

    POST /alerts {"name": "Complaints", "measure": "complaint_rate", "threshold": 0.001, "window_s": 86400}

Alerts that are raised and that end are events (`alert_raised`, `alert_ended`), so webhooks and /v1/events tell of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.vocab import KeyScope, Stream
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.policy.alerts import AlertRule, Measure, Side
from outrider.policy.reputation import Judged, Level
from outrider.services import alerts as service
from outrider.services.alerts import Alert, AlertWish
from outrider.services.reputation import Part

_FIELDS: Final = {"alert_id": "id"}
_NAME: Final = Meta(min_length=1, max_length=limits.ALERT_NAME_CHARS_MAX, description="Unique in the project.")
_THRESHOLD: Final = Meta(description="Of a rate a share from 0 to 1: 0.001 is 0.1 %; of a time seconds; else a count.")
_SIDE: Final = Meta(description="Which side of the threshold is bad.")
_WINDOW: Final = Meta(
    ge=limits.ALERT_WINDOW_S_MIN, le=limits.ALERT_WINDOW_S_MAX, description="How far back it looks; up to 7 days."
)
_MAILS: Final = Meta(
    ge=1, le=limits.ALERT_MAILS_COUNT_MAX, description="Fewer mails in the window say nothing of a rate or a time."
)
_NOTIFY: Final = Meta(
    max_length=limits.ALERT_NOTIFY_COUNT_MAX, description="Who gets a mail; empty: `notice_address` of the project."
)
_STREAM: Final = Meta(description="Only mail of this stream.")
_DOMAIN: Final = Meta(description="Only mail sent from this domain.")
_CAMPAIGN: Final = Meta(description="Only mail of this campaign.")
_PROVIDER: Final = Meta(description="Only mail to this provider; not with `ip`.")
_IP: Final = Meta(description="Only mail from this source address.")


class NewAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to watch."""

    name: Annotated[str, _NAME]
    measure: Measure
    threshold: Annotated[float, _THRESHOLD]
    side: Annotated[Side, _SIDE] = Side.ABOVE
    window_s: Annotated[int, _WINDOW] = 3600
    mails_min: Annotated[int, _MAILS] = 100
    stream: Annotated[Stream | None, _STREAM] = None
    domain: Annotated[str, _DOMAIN] = ""
    campaign: Annotated[str, _CAMPAIGN] = ""
    provider: Annotated[str, _PROVIDER] = ""
    ip: Annotated[str, _IP] = ""
    notify: Annotated[list[str], _NOTIFY] = []
    is_enabled: bool = True


class AlertChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: Annotated[str, _NAME] | UnsetType = UNSET
    measure: Measure | UnsetType = UNSET
    threshold: Annotated[float, _THRESHOLD] | UnsetType = UNSET
    side: Annotated[Side, _SIDE] | UnsetType = UNSET
    window_s: Annotated[int, _WINDOW] | UnsetType = UNSET
    mails_min: Annotated[int, _MAILS] | UnsetType = UNSET
    stream: Annotated[Stream | None, _STREAM] | UnsetType = UNSET
    domain: Annotated[str, _DOMAIN] | UnsetType = UNSET
    campaign: Annotated[str, _CAMPAIGN] | UnsetType = UNSET
    provider: Annotated[str, _PROVIDER] | UnsetType = UNSET
    ip: Annotated[str, _IP] | UnsetType = UNSET
    notify: Annotated[list[str], _NOTIFY] | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET


class AlertShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is watched, and how it stands."""

    id: UUID
    name: str
    measure: Measure
    threshold: float
    side: Side
    window_s: int
    mails_min: int
    stream: Stream | None
    domain: str
    campaign: str
    provider: str
    ip: str
    notify: Sequence[str]
    is_enabled: bool
    raised_at: Annotated[datetime | None, Meta(description="Since when it is raised; null: it is quiet.")]
    value: Annotated[float | None, Meta(description="At the last look; null: none yet, or no mail to make a rate of.")]
    checked_at: datetime | None
    created_at: datetime


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, oldest first."""

    alerts: Sequence[AlertShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class DefaultsWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told by the alerts that are added."""

    notify: Annotated[list[str], _NOTIFY] = []


class AlertsAdded(msgspec.Struct, frozen=True, kw_only=True):
    """What was added; alerts of those names that were there already stay as they are."""

    alerts: Sequence[AlertShown]


class TrialShown(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert would say now."""

    value: float | None
    mail_count: Annotated[int, Meta(description="How many mails that speaks of.")]
    would_be_raised: bool
    sentence: str


class ReputationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which time."""

    days: Annotated[int, Meta(ge=1, le=30, description="Up to now: 1, 7 or 30.")] = 7


class JudgedShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rate, judged."""

    measure: Measure
    level: Level
    value: Annotated[float | None, Meta(description="A share; null: no mail.")]
    mail_count: int
    watch: Annotated[float, Meta(description="From where on it is to be watched.")]
    bad: Annotated[float, Meta(description="From where on it is bad.")]
    sentence: str


class PartShown(msgspec.Struct, frozen=True, kw_only=True):
    """A provider or a source address, and how mail fares there."""

    name: str
    level: Level
    mail_count: Annotated[int, Meta(description="Delivered or bounced.")]
    measures: Sequence[JudgedShown]


class CauseShown(msgspec.Struct, frozen=True, kw_only=True):
    """Why a provider deferred mail."""

    reason: str
    provider: Annotated[str, Meta(description="Empty: one without a name.")]
    count: Annotated[int, Meta(description="Attempts.")]


class ReputationShown(msgspec.Struct, frozen=True, kw_only=True):
    """How the project's mail is seen."""

    days: int
    level: Annotated[Level, Meta(description="The worst of the measures.")]
    measures: Sequence[JudgedShown]
    providers: Annotated[Sequence[PartShown], Meta(description="Most mail first, 50 at most.")]
    ips: Annotated[Sequence[PartShown], Meta(description="The same of source addresses.")]
    deferral_causes: Annotated[Sequence[CauseShown], Meta(description="Most first, among the latest events.")]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/alerts and /v1/reputation."""
    acts = _Alerts(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope = KeyScope.MANAGE, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Alerts", fields=_FIELDS, **more)

    return [
        row("POST", "/alerts", acts.add_alert, status=201),
        row("GET", "/alerts", acts.list_alerts, KeyScope.READ),
        row("POST", "/alerts/defaults", acts.add_default_alerts, status=201),
        row("GET", "/alerts/{id}", acts.show_alert, KeyScope.READ),
        row("PATCH", "/alerts/{id}", acts.change_alert),
        row("DELETE", "/alerts/{id}", acts.remove_alert),
        row("POST", "/alerts/{id}/test", acts.test_alert),
        row("GET", "/reputation", acts.show_reputation, KeyScope.READ),
    ]


class _Alerts:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    @property
    def _service(self) -> service.Alerts:
        return self._ports.services.alerts

    async def add_alert(self, call: Call, body: NewAlert) -> AlertShown:
        """Watch a figure: people and webhooks are told when it leaves its bounds, and when it is back."""
        rule = AlertRule(**{name: getattr(body, name) for name in AlertRule.__struct_fields__})
        wish = AlertWish(name=body.name, rule=rule, notify=body.notify, is_enabled=body.is_enabled)
        return _shown(await self._service.add(call.project_id, wish))

    async def list_alerts(self, call: Call, query: PageQuery) -> AlertList:
        """List the alerts, oldest first, with how they stand."""
        found = await self._service.page(call.project_id, cursor=query.after, count_max=query.limit + 1)
        page, next_cursor = paging.cut(found, query.limit, service.place_of)
        return AlertList(alerts=[_shown(one) for one in page], next=next_cursor)

    async def add_default_alerts(self, call: Call, body: DefaultsWish) -> AlertsAdded:
        """Add the alerts that everybody should have: complaints, bounces, deferrals, deliveries."""
        added = await self._service.add_defaults(call.project_id, notify=body.notify)
        return AlertsAdded(alerts=[_shown(one) for one in added])

    async def show_alert(self, call: Call, id: UUID) -> AlertShown:  # noqa: A002 - the name in the path.
        """Show an alert, and how it stands."""
        return _shown(await self._service.show(call.project_id, id))

    async def change_alert(self, call: Call, id: UUID, body: AlertChange) -> AlertShown:  # noqa: A002
        """Change an alert. It is looked at anew within seconds."""
        return _shown(await self._service.change(call.project_id, id, reading.given(body)))

    async def remove_alert(self, call: Call, id: UUID) -> None:  # noqa: A002
        """Forget an alert. If it was raised, nobody is told that it ended."""
        await self._service.remove(call.project_id, id)

    async def test_alert(self, call: Call, id: UUID) -> TrialShown:  # noqa: A002
        """Say what the alert would do now; nobody is told."""
        found = await self._service.test(call.project_id, id)
        return TrialShown(
            value=found.value,
            mail_count=found.mail_count,
            would_be_raised=found.would_be_raised,
            sentence=found.sentence,
        )

    async def show_reputation(self, call: Call, query: ReputationQuery) -> ReputationShown:
        """Show how the project's mail is seen: rates judged against what providers want, by provider and address."""
        found = await self._ports.services.reputation.view(call.project_id, days=query.days)
        return ReputationShown(
            days=found.days,
            level=found.level,
            measures=[_judged(one) for one in found.judged],
            providers=[_part(one) for one in found.providers],
            ips=[_part(one) for one in found.ips],
            deferral_causes=[
                CauseShown(reason=one.reason, provider=one.provider, count=one.count) for one in found.causes
            ],
        )


def _shown(one: Alert) -> AlertShown:
    rule = {name: getattr(one.rule, name) for name in AlertRule.__struct_fields__}
    return AlertShown(
        id=one.alert_id,
        name=one.name,
        notify=one.notify,
        is_enabled=one.is_enabled,
        raised_at=one.raised_at,
        value=one.value,
        checked_at=one.checked_at,
        created_at=one.created_at,
        **rule,
    )


def _judged(one: Judged) -> JudgedShown:
    return JudgedShown(
        measure=one.measure,
        level=one.level,
        value=one.value,
        mail_count=one.mail_count,
        watch=one.watch,
        bad=one.bad,
        sentence=one.sentence,
    )


def _part(one: Part) -> PartShown:
    return PartShown(
        name=one.name, level=one.level, mail_count=one.mail_count, measures=[_judged(each) for each in one.judged]
    )

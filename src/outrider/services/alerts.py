"""Alerts: figures of a project watched by rules, and who is told when one leaves its bounds and when it is back.

    `Alerts`        what people and programs set and read
    `AlertKeeper`   in the worker: looks at each every half minute to quarter of an hour, by the length of its window

What becomes of an alert is written in one transaction with the event that says so (`alert_raised`, `alert_ended`: its
webhooks get that as any other) and with the notice that is mailed. So each is told of once, whoever dies and however
many workers there are. Figures are some seconds old; an alert is as late as its next look. While figures are later
than that, or nobody counts any, alerts stay as they are. `policy.alerts` decides.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids, limits, places
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import EventKind
from outrider.engine.service import Outage, Recurring
from outrider.mail import address
from outrider.obs.log import Logger
from outrider.policy import alerts as policy
from outrider.policy.alerts import AlertRule, Reading
from outrider.store import alerts, events, figure_sums, notices, projects
from outrider.store.alerts import Alert
from outrider.store.events import Facts, NewEvent
from outrider.store.figure_sums import Which
from outrider.store.notices import Notice
from outrider.store.pool import Store, Tx

__all__ = ["Alert", "AlertKeeper", "AlertTrial", "AlertWish", "Alerts"]  # With the record a caller meets.

_ROUND_S: Final = 10.0  # Ours.
_BATCH_COUNT: Final = 10  # Ours: alerts a transaction, which must stay short.
_LOOKS: Final = 20  # Ours: in the length of a window, within the next two.
_EVERY_S_MIN: Final = 30.0
_EVERY_S_MAX: Final = 900.0
_LATE: Final = timedelta(minutes=1)  # Ours: the counter goes round every second; who lacks that much lacks too much.
_AGAIN_S: Final = 3600.0  # Ours: a project has as many as it may have until somebody removes one.
_WAITS: Final = "Figures are late: until they are counted, it stays as it is."


class AlertWish(msgspec.Struct, frozen=True, kw_only=True):
    """What people choose of an alert."""

    name: str
    rule: AlertRule
    notify: Sequence[str] = ()  # Addresses; none: where the project's notices go.
    is_enabled: bool = True


class AlertTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert would say now."""

    alert: Alert
    value: float | None  # None: there was no mail to make a rate of.
    mail_count: int
    would_be_raised: bool
    sentence: str


class Alerts:
    """The alerts of all projects."""

    def __init__(self, store: Store, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def add(self, project_id: UUID, wish: AlertWish) -> Alert:
        """Watch something from now on.

        Raises:
            CallerError: `field` names what is wrong, as in `AlertWish` and `AlertRule`.
            ConflictError: field "name": the project has one of that name.
            LimitReachedError: the project has as many as it may have.
        """
        alert = self._new(project_id, _checked(wish))
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            if await alerts.by_name(tx, project_id, alert.name) is not None:
                raise _taken(alert.name)
            await _insert(tx, alert)
        return alert

    async def add_defaults(self, project_id: UUID, *, notify: Sequence[str] = ()) -> Sequence[Alert]:
        """Add the alerts that everybody should have, those that the project has not by name. Return what was added.

        Raises:
            CallerError: field "notify".
            LimitReachedError: the project has as many as it may have; none is added.
        """
        added = []
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            for one in policy.DEFAULTS:
                wish = _checked(AlertWish(name=one.name, rule=one.rule, notify=notify))
                if await alerts.by_name(tx, project_id, one.name) is None:
                    alert = self._new(project_id, wish)
                    await _insert(tx, alert)
                    added.append(alert)
        return added

    async def page(self, project_id: UUID, *, cursor: str = "", count_max: int) -> Sequence[Alert]:
        """Return alerts, oldest first, behind `cursor` (`place_of`). Raises CallerError: it is none of ours."""
        after = alerts.BEGINNING
        if cursor:
            at, hex_id = places.parse(cursor)
            after = (at, UUID(hex_id))
        async with self._store.transaction() as tx:
            return await alerts.of_project(tx, project_id, after=after, count_max=count_max)

    async def show(self, project_id: UUID, alert_id: UUID) -> Alert:
        """Return the alert. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            return _found(await alerts.find(tx, project_id, alert_id))

    async def named(self, project_id: UUID, name: str) -> Alert:
        """Return the project's alert of that name, or with that id. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            found = await alerts.by_name(tx, project_id, name)
            if found is None and (alert_id := _id_of(name)) is not None:
                found = await alerts.find(tx, project_id, alert_id)
        return _found(found)

    async def change(self, project_id: UUID, alert_id: UUID, changes: Mapping[str, object]) -> Alert:
        """Change what was chosen, by the names in `AlertWish` and `AlertRule`. It is looked at anew, at once.

        One that is raised stays so until that look, unless it is switched off: then nobody is told of an end.

        Raises:
            NotFoundError: the project has no such alert.
            CallerError: `field` names what is wrong.
            ConflictError: field "name": the project has another of that name.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            old = _found(await alerts.lock(tx, project_id, alert_id))
            wish = _checked(_changed(old, changes))
            other = await alerts.by_name(tx, project_id, wish.name)
            if other is not None and other.alert_id != alert_id:
                raise _taken(wish.name)
            new = msgspec.structs.replace(
                old,
                name=wish.name,
                rule=wish.rule,
                notify=tuple(wish.notify),
                is_enabled=wish.is_enabled,
                raised_at=old.raised_at if wish.is_enabled else None,
                check_due_at=now,
            )
            await alerts.change(tx, new)
        return new

    async def remove(self, project_id: UUID, alert_id: UUID) -> None:
        """Forget an alert; if it was raised, nobody is told of an end. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            is_known = await alerts.remove(tx, project_id, alert_id)
        if not is_known:
            raise _unknown()

    async def test(self, project_id: UUID, alert_id: UUID) -> AlertTrial:
        """Return what the alert would say now; nothing is written and nobody is told. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            alert = _found(await alerts.find(tx, project_id, alert_id))
            reading = await _read(tx, alert, self._clock)
            are_late = await _are_late(tx, self._clock)
        sentence = policy.sentence(alert.rule, reading)
        is_raised = alert.raised_at is not None
        return AlertTrial(
            alert=alert,
            value=reading.value,
            mail_count=reading.mail_count,
            would_be_raised=is_raised if are_late else _decide(alert, reading, self._clock),
            sentence=f"{sentence} {_WAITS}" if are_late else sentence,
        )

    def _new(self, project_id: UUID, wish: AlertWish) -> Alert:
        now = self._clock.now()
        return Alert(
            alert_id=ids.uuid7(now, self._random_bits(74)),
            project_id=project_id,
            name=wish.name,
            rule=wish.rule,
            notify=tuple(wish.notify),
            is_enabled=wish.is_enabled,
            check_due_at=now,
            created_at=now,
        )


class AlertKeeper(Recurring):
    """Raises and ends alerts, while `run` runs. Any number of processes may run one."""

    def __init__(self, store: Store, *, clock: Clock, random_bits: Callable[[int], int], logger: Logger) -> None:
        super().__init__(self._is_more, _ROUND_S, clock=clock, outage=Outage(logger, "alerts_delayed"))
        self._store: Final = store
        self._random_bits: Final = random_bits
        self._logger: Final = logger

    async def look(self) -> int:
        """Look at some alerts that are due; return at how many. Raises StoreError; then nothing was told."""
        now = self._clock.now()
        changed = []
        async with self._store.transaction() as tx:
            due = await alerts.take_due(tx, now=now, count_max=_BATCH_COUNT)
            are_late = bool(due) and await _are_late(tx, self._clock)
            for alert in due:
                if are_late:
                    again_at = now + timedelta(seconds=_EVERY_S_MIN)
                    await alerts.stand(tx, msgspec.structs.replace(alert, check_due_at=again_at))
                elif (new := await self._judge(tx, alert)) is not None:
                    changed.append(new)
        for one in changed:  # After the commit: what was rolled back was not told.
            kind = _kind(one)
            self._logger.warning(kind.value, project_id=str(one.project_id), alert=one.name, value=one.value)
        return len(due)

    async def _is_more(self) -> bool:
        return await self.look() == _BATCH_COUNT

    async def _judge(self, tx: Tx, alert: Alert) -> Alert | None:
        """Write how the alert stands now, and tell of it if that changed: then return it."""
        reading = await _read(tx, alert, self._clock)
        is_raised = _decide(alert, reading, self._clock)
        new = _standing(alert, reading, self._clock, is_raised=is_raised)
        await alerts.stand(tx, new)
        if is_raised is (alert.raised_at is not None):
            return None
        await events.append(tx, [_event(new, reading)])
        await notices.insert(tx, self._notice(new, reading))
        return new

    def _notice(self, alert: Alert, reading: Reading) -> Notice:
        now, kind = self._clock.now(), _kind(alert)
        words = "Alert" if kind is EventKind.ALERT_RAISED else "Over"
        followed = (
            "`outrider reputation` says more; you are told again when it is over."
            if kind is EventKind.ALERT_RAISED
            else "The figures are on the good side again, or no mail is left to say anything."
        )
        return Notice(
            notice_id=ids.uuid7(now, self._random_bits(74)),
            project_id=alert.project_id,
            kind=kind,
            subject=f"{words}: {alert.name}",
            text=f"{policy.sentence(alert.rule, reading)}\n\n{followed}",
            at=now,
            recipients=alert.notify,
        )


def place_of(alert: Alert) -> str:
    """Return the cursor behind that alert."""
    return places.text(alert.created_at, alert.alert_id.hex)


async def _read(tx: Tx, alert: Alert, clock: Clock) -> Reading:
    rule, now = alert.rule, clock.now()
    dimension = "provider" if rule.provider else "ip" if rule.ip else ""
    which = Which(
        since=now - timedelta(seconds=rule.window_s),
        until=now,
        dimension=dimension,
        name=rule.provider or rule.ip,
        stream=rule.stream,
        domain=rule.domain,
        campaign=rule.campaign,
    )
    if policy.is_time(rule.measure):
        return policy.read(rule.measure, await figure_sums.inbox(tx, alert.project_id, which))
    sums = await figure_sums.sums(tx, [alert.project_id], policy.metrics(rule.measure), which)
    return policy.read(rule.measure, sums)


async def _are_late(tx: Tx, clock: Clock) -> bool:
    return await figure_sums.are_late(tx, clock.now() - _LATE)


def _decide(alert: Alert, reading: Reading, clock: Clock) -> bool:
    is_whole = clock.now() - alert.created_at >= timedelta(seconds=alert.rule.window_s)
    return policy.decide(alert.rule, reading, is_raised=alert.raised_at is not None, is_whole=is_whole)


def _standing(alert: Alert, reading: Reading, clock: Clock, *, is_raised: bool) -> Alert:
    now = clock.now()
    every_s = min(max(alert.rule.window_s / _LOOKS, _EVERY_S_MIN), _EVERY_S_MAX)
    return msgspec.structs.replace(
        alert,
        raised_at=(alert.raised_at or now) if is_raised else None,
        value=reading.value,
        checked_at=now,
        check_due_at=now + timedelta(seconds=every_s),
    )


def _kind(alert: Alert) -> EventKind:
    return EventKind.ALERT_ENDED if alert.raised_at is None else EventKind.ALERT_RAISED


def _event(alert: Alert, reading: Reading) -> NewEvent:
    assert alert.checked_at is not None
    facts: Facts = {
        "alert": alert.name,
        "alert_id": str(alert.alert_id),
        "metric": alert.rule.measure.value,
        "threshold": alert.rule.threshold,
        "window_s": alert.rule.window_s,
        "mails": reading.mail_count,
    }
    if reading.value is not None:
        facts = {**facts, "value": reading.value}
    return NewEvent(alert.checked_at, alert.project_id, events.NIL, None, _kind(alert), facts=facts)


async def _insert(tx: Tx, alert: Alert) -> None:
    most = limits.ALERTS_OF_ONE_COUNT_MAX
    if not await alerts.insert(tx, alert, count_max=most):
        raise LimitReachedError(f"A project has at most {most} alerts.", retry_after_s=_AGAIN_S)


def _changed(old: Alert, changes: Mapping[str, object]) -> AlertWish:
    of_rule = {name: value for name, value in changes.items() if name in AlertRule.__struct_fields__}
    of_wish = {name: value for name, value in changes.items() if name not in of_rule}
    rule = msgspec.structs.replace(old.rule, **of_rule)
    wish = AlertWish(name=old.name, rule=rule, notify=old.notify, is_enabled=old.is_enabled)
    return msgspec.structs.replace(wish, **of_wish)


def _checked(wish: AlertWish) -> AlertWish:
    """Return the wish as it is kept. Raises CallerError."""
    name = wish.name.strip()
    if not 1 <= len(name) <= limits.ALERT_NAME_CHARS_MAX or not name.isprintable():
        raise CallerError(f"A name has 1 to {limits.ALERT_NAME_CHARS_MAX} characters, in one line.", field="name")
    policy.check(wish.rule)
    for field in ("domain", "campaign", "provider", "ip"):
        if "\x00" in getattr(wish.rule, field):
            raise CallerError("It has a NUL character.", field=field)
    rule = msgspec.structs.replace(wish.rule, domain=wish.rule.domain.lower())
    return msgspec.structs.replace(wish, name=name, rule=rule, notify=_addresses(wish.notify))


def _addresses(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > limits.ALERT_NOTIFY_COUNT_MAX:
        raise CallerError(f"At most {limits.ALERT_NOTIFY_COUNT_MAX} addresses.", field="notify")
    try:
        return tuple(dict.fromkeys(address.parse(one).text for one in given))
    except CallerError as error:
        raise CallerError(f"Not an address: {error.public}", field="notify") from error


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _found(alert: Alert | None) -> Alert:
    if alert is None:
        raise _unknown()
    return alert


def _unknown() -> NotFoundError:
    return NotFoundError("The project has no such alert; `outrider alert list` shows them.", field="alert_id")


def _taken(name: str) -> ConflictError:
    return ConflictError(f"The project has an alert {name!r}.", field="name")

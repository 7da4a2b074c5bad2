"""`outrider alert ...`: figures of a project that are watched, and who is told.

An alert is named by its name or its id. `edit` changes what is named and leaves the rest; `test` says what an alert
would do now, tells nobody, and ends with 1 where it would be raised. The worker looks at alerts every half minute to
quarter of an hour.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.policy import alerts as policy
from outrider.policy.alerts import AlertRule, Measure, Side
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.alerts import Alert, AlertTrial, AlertWish

alerts = typer.Typer(help="Alerts: add, defaults, list, change, try; told by mail and webhooks.", no_args_is_help=True)
_Name = Annotated[str, typer.Argument(metavar="ALERT", help="Its name, or its id.")]
_THRESHOLD = "`0.1%` or `0.001` of a rate, a number of a count, seconds of a time."
_Above = Annotated[bool, typer.Option("--above/--below", help="Which side of the threshold is bad.")]
_Window = Annotated[str, typer.Option(help="How far back it looks: `15m`, `6h`, `7d`.")]
_Mails = Annotated[int, typer.Option("--mails", help="Fewer mails in the window say nothing of a rate.")]
_Stream = Annotated[Stream | None, typer.Option(help="Only mail of this stream.")]
_Domain = Annotated[str, typer.Option(help="Only mail sent from this domain.")]
_Campaign = Annotated[str, typer.Option(help="Only mail of this campaign.")]
_Provider = Annotated[str, typer.Option(help="Only mail to this provider.")]
_Ip = Annotated[str, typer.Option(help="Only mail from this source address.")]
_Notify = Annotated[
    list[str] | None, typer.Option("--notify", help="Who gets a mail; may be given often. None: `notice address`.")
]
_EXIT_RAISED: Final = 1
_SIGNS: Final[Mapping[Side, str]] = {Side.ABOVE: ">", Side.BELOW: "<"}
_UNITS_S: Final[Mapping[str, int]] = {"m": 60, "h": 3600, "d": 86_400}


@alerts.command("add")
def add_alert(
    name: Annotated[str, typer.Argument(help="A name for it.")],
    measure: Annotated[Measure, typer.Argument(help="What is watched.")],
    threshold: Annotated[str, typer.Argument(help=_THRESHOLD)],
    *,
    above: _Above = True,
    window: _Window = "1h",
    mails: _Mails = 100,
    stream: _Stream = None,
    domain: _Domain = "",
    campaign: _Campaign = "",
    provider: _Provider = "",
    ip: _Ip = "",
    notify: _Notify = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Watch a figure: `outrider alert add Complaints complaint_rate 0.1% --window 1d`."""

    async def work(services: Services, project_id: UUID) -> Alert:
        rule = AlertRule(
            measure=measure,
            threshold=_number(threshold),
            side=Side.ABOVE if above else Side.BELOW,
            window_s=_seconds(window),
            mails_min=mails,
            stream=stream,
            domain=domain,
            campaign=campaign,
            provider=provider,
            ip=ip,
        )
        return await services.alerts.add(project_id, AlertWish(name=name, rule=rule, notify=notify or ()))

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@alerts.command("defaults")
def add_defaults(notify: _Notify = None, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Add the alerts that everybody should have. Safe to repeat: those that are there stay as they are."""
    added = session.run_in(
        project, lambda services, project_id: services.alerts.add_defaults(project_id, notify=notify or ())
    )
    _tell(added, empty="They are there already.", as_json=as_json)


@alerts.command("list")
def list_alerts(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's alerts, and how they stand."""
    most = limits.ALERTS_OF_ONE_COUNT_MAX
    found = session.run_in(project, lambda services, project_id: services.alerts.page(project_id, count_max=most))
    _tell(found, empty="No alerts; `outrider alert defaults` adds some.", as_json=as_json)


@alerts.command("show")
def show_alert(alert: _Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Show an alert, and how it stands."""
    found = session.run_in(project, lambda services, project_id: services.alerts.named(project_id, alert))
    output.show_facts(_facts(found), as_json=as_json)


@alerts.command("edit")
def edit_alert(
    alert: _Name,
    *,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    threshold: Annotated[str | None, typer.Option(help=_THRESHOLD)] = None,
    above: Annotated[bool | None, typer.Option("--above/--below", help="Which side is bad.")] = None,
    window: Annotated[str | None, typer.Option(help="How far back it looks: `15m`, `6h`, `7d`.")] = None,
    mails: Annotated[int | None, typer.Option("--mails", help="Fewer mails say nothing of a rate.")] = None,
    notify: _Notify = None,
    nobody: Annotated[bool, typer.Option("--notify-none", help="Mail where the project's notices go.")] = False,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is looked at.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change an alert; what is not named stays."""

    async def work(services: Services, project_id: UUID) -> Alert:
        given = {
            "name": name,
            "threshold": None if threshold is None else _number(threshold),
            "side": None if above is None else Side.ABOVE if above else Side.BELOW,
            "window_s": None if window is None else _seconds(window),
            "mails_min": mails,
            "notify": () if nobody else notify,
            "is_enabled": enabled,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        found = await services.alerts.named(project_id, alert)
        return await services.alerts.change(project_id, found.alert_id, changes)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@alerts.command("remove")
def remove_alert(alert: _Name, project: Project = DEFAULT_PROJECT) -> None:
    """Forget an alert. If it is raised, nobody is told that it ended."""

    async def work(services: Services, project_id: UUID) -> None:
        found = await services.alerts.named(project_id, alert)
        await services.alerts.remove(project_id, found.alert_id)

    session.run_in(project, work)


@alerts.command("test")
def try_alert(alert: _Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Say what an alert would do now; nobody is told. Ends with 1 if it would be raised."""

    async def work(services: Services, project_id: UUID) -> AlertTrial:
        found = await services.alerts.named(project_id, alert)
        return await services.alerts.test(project_id, found.alert_id)

    trial = session.run_in(project, work)
    said = {"value": trial.value, "mails": trial.mail_count, "raised": trial.would_be_raised, "why": trial.sentence}
    output.show_facts(said, as_json=as_json)
    if trial.would_be_raised:
        raise typer.Exit(_EXIT_RAISED)


def _tell(found: Sequence[Alert], *, empty: str, as_json: bool) -> None:
    if as_json:
        output.show_json([_facts(one) for one in found])
        return
    columns = ("NAME", "STATE", "VALUE", "RAISED IF", "WINDOW")
    output.show_table(columns, [_row(one) for one in found], empty=empty)


def _row(one: Alert) -> Sequence[object]:
    rule = one.rule
    return (
        one.name,
        _state(one).partition(" ")[0],
        "-" if one.checked_at is None else policy.shown(rule.measure, one.value),
        f"{rule.measure.value} {_SIGNS[rule.side]} {policy.shown(rule.measure, rule.threshold)}",
        policy.span(rule.window_s),
    )


def _state(one: Alert) -> str:
    if not one.is_enabled:
        return "off"
    return "quiet" if one.raised_at is None else f"raised {_instant(one.raised_at)}"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _facts(one: Alert) -> Mapping[str, Any]:
    rule = {name: getattr(one.rule, name) for name in AlertRule.__struct_fields__}
    return {
        "id": str(one.alert_id),
        "name": one.name,
        "state": _state(one),
        "value": one.value,
        "looked_at": "" if one.checked_at is None else _instant(one.checked_at),
        **rule,
        "stream": "" if one.rule.stream is None else one.rule.stream.value,
        "notify": ", ".join(one.notify),
    }


def _number(text: str) -> float:
    number = text.removesuffix("%")
    try:
        value = float(number)
    except ValueError as error:
        raise CallerError("A threshold is a number, or a share such as `0.1%`.", field="threshold") from error
    return value / 100 if text.endswith("%") else value


def _seconds(text: str) -> int:
    unit_s = _UNITS_S.get(text[-1:])
    if unit_s is None or not text[:-1].isascii() or not text[:-1].isdigit():
        raise CallerError("A window is minutes, hours or days: `15m`, `6h`, `7d`.", field="window")
    return int(text[:-1]) * unit_s

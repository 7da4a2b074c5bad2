"""`outrider webhook ...`: the project's own servers that are told of its events.

`add` and `rotate` print the secret that signs each call, this once. `pause`, `resume`, `disable` and `set` are safe to
repeat, and count within a second or two. `test` ends with 0 when the server takes the call, else with 1. Calls are made
by the worker; `test` calls from here.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.base.vocab import EventKind, WebhookOrdering, WebhookOutcome
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.webhooks.endpoints import Delivery, Made, Shown, Webhook, Wish

webhooks = typer.Typer(
    help="Webhooks: add, list, change, pause, try, replay; how their calls went.", no_args_is_help=True
)
WebhookId = Annotated[str, typer.Argument(help="Its id, as `list` shows it.")]
_Kinds = Annotated[list[EventKind] | None, typer.Option("--kind", help="Only these events; may be given often.")]
_Token = Annotated[str | None, typer.Option(help="Travels with each call as it is; an empty one: none any more.")]
_Ordering = Annotated[WebhookOrdering | None, typer.Option(help="Which calls go one after the other.")]
_Batch = Annotated[int | None, typer.Option(help="Events in one call, at most.")]
_BatchWait = Annotated[float | None, typer.Option(help="Seconds that an event may wait for others.")]
_Description = Annotated[str | None, typer.Option(help="A line for people.")]
_EXIT_FAILED = 1


@webhooks.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="Where to: https, at a public address.")],
    *,
    kind: _Kinds = None,
    ordering: _Ordering = None,
    batch: _Batch = None,
    batch_wait: _BatchWait = None,
    description: _Description = None,
    token: _Token = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Tell a server what happens from now on. Prints the secret that signs each call; keep it."""
    wish = Wish(
        url=url,
        description=description or "",
        kinds=kind or (),
        ordering=ordering or WebhookOrdering.NONE,
        batch_count=1 if batch is None else batch,
        batch_wait_s=batch_wait or 0.0,
    )

    async def work(services: Services, project_id: UUID) -> Made:
        return await services.webhooks.add(project_id, wish, token=token or "")

    made = session.run_in(project, work)
    output.show_facts(_facts(made.webhook) | {"secret": made.secret}, as_json=as_json)


@webhooks.command("list")
def list_webhooks(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's webhooks."""
    found = session.run_in(project, lambda services, project_id: services.webhooks.page(project_id, count_max=1000))
    columns = ["ID", "URL", "STATE", "REASON", "KINDS", "FAILING SINCE"]
    output.show_rows(columns, [_listed(one) for one in found], empty="No webhooks.", as_json=as_json)


@webhooks.command("show")
def show_webhook(webhook: WebhookId, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Show a webhook, and what waits for it."""
    found = session.run_in(project, lambda services, project_id: services.webhooks.show(project_id, _id(webhook)))
    output.show_facts(_detail(found), as_json=as_json)


@webhooks.command("set")
def set_webhook(
    webhook: WebhookId,
    *,
    url: Annotated[str | None, typer.Option(help="Another place; what waits goes there.")] = None,
    kind: _Kinds = None,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="Every event.")] = False,
    ordering: _Ordering = None,
    batch: _Batch = None,
    batch_wait: _BatchWait = None,
    description: _Description = None,
    token: _Token = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change a webhook; what is not named stays."""
    given = {
        "url": url,
        "description": description,
        "kinds": () if all_kinds else kind and tuple(kind),
        "ordering": ordering,
        "batch_count": batch,
        "batch_wait_s": batch_wait,
    }
    changes = {name: value for name, value in given.items() if value is not None}

    async def work(services: Services, project_id: UUID) -> Shown:
        return await services.webhooks.change(project_id, _id(webhook), changes, token=token)

    output.show_facts(_detail(session.run_in(project, work)), as_json=as_json)


@webhooks.command("remove")
def remove_webhook(webhook: WebhookId, project: Project = DEFAULT_PROJECT) -> None:
    """Forget a webhook, with what waits for it and how its calls went."""
    session.run_in(project, lambda services, project_id: services.webhooks.remove(project_id, _id(webhook)))


@webhooks.command("pause")
def pause_webhook(webhook: WebhookId, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Make no calls for now. They wait, three days at most."""
    found = session.run_in(project, lambda services, project_id: services.webhooks.pause(project_id, _id(webhook)))
    output.show_facts(_detail(found), as_json=as_json)


@webhooks.command("disable")
def disable_webhook(webhook: WebhookId, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Tell it nothing of what happens from now on."""
    found = session.run_in(project, lambda services, project_id: services.webhooks.disable(project_id, _id(webhook)))
    output.show_facts(_detail(found), as_json=as_json)


@webhooks.command("resume")
def resume_webhook(webhook: WebhookId, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Call it again, with all that waits, at once."""
    found = session.run_in(project, lambda services, project_id: services.webhooks.resume(project_id, _id(webhook)))
    output.show_facts(_detail(found), as_json=as_json)


@webhooks.command("rotate")
def rotate_webhook(
    webhook: WebhookId,
    overlap_hours: Annotated[float, typer.Option(help="For how long the old secret signs too.")] = 24.0,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Sign with another secret, which is printed; the old one signs too for a while."""
    overlap = timedelta(hours=overlap_hours)

    async def work(services: Services, project_id: UUID) -> Made:
        return await services.webhooks.rotate(project_id, _id(webhook), overlap=overlap)

    output.show_facts({"id": webhook, "secret": session.run_in(project, work).secret}, as_json=as_json)


@webhooks.command("test")
def call_webhook(webhook: WebhookId, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Call it now with an event `webhook.test`, and say what it answers."""
    said = session.run_in(project, lambda services, project_id: services.webhooks.test(project_id, _id(webhook)))
    facts = {"taken": said.is_taken, "status": said.status, "error": said.error, "answer": said.excerpt}
    output.show_facts(facts | {"seconds": round(said.duration_s, 3)}, as_json=as_json)
    if not said.is_taken:
        raise typer.Exit(_EXIT_FAILED)


@webhooks.command("replay")
def replay(
    webhook: WebhookId,
    *,
    since: Annotated[str, typer.Option(help="From then on, with a time zone: 2026-12-24T08:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before then; without it: up to now.")] = "",
    event: Annotated[list[str] | None, typer.Option(help="An event by its id; may be given often.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Tell it again, under the same names, what happened in a time, or events by their ids."""
    if bool(since) == bool(event):
        session.fail(CallerError("Say --since, or --event with ids.", field="since"))

    async def work(services: Services, project_id: UUID) -> int:
        if event:
            return (await services.webhooks.replay_ids(project_id, _id(webhook), event)).count
        begin, end = _instant(since, "since"), _instant(until, "until") if until else None
        done = await services.webhooks.replay(project_id, _id(webhook), since=begin, until=end)
        count = done.count
        while done.next_cursor:
            done = await services.webhooks.replay(
                project_id, _id(webhook), since=begin, until=end, cursor=done.next_cursor
            )
            count += done.count
        return count

    output.show_facts({"events": session.run_in(project, work)}, as_json=as_json)


@webhooks.command("deliveries")
def list_deliveries(
    webhook: WebhookId,
    outcome: Annotated[list[WebhookOutcome] | None, typer.Option(help="Only these; may be given often.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """List how its calls went, newest first; kept for a week."""

    async def work(services: Services, project_id: UUID) -> list[Delivery]:
        return list(
            await services.webhooks.deliveries(project_id, _id(webhook), outcomes=outcome or (), count_max=limit)
        )

    columns = ["DELIVERY", "AT", "KIND", "ATTEMPT", "OUTCOME", "STATUS", "ERROR", "SECONDS", "RETRY AT"]
    rows = [_delivery(one) for one in session.run_in(project, work)]
    output.show_rows(columns, rows, empty="No calls.", as_json=as_json)


@webhooks.command("retry")
def retry(
    webhook: WebhookId,
    delivery: Annotated[int, typer.Argument(min=1, help="Its number, as `deliveries` shows it.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make a call again, now, under the same name."""

    async def work(services: Services, project_id: UUID) -> int:
        return await services.webhooks.retry(project_id, _id(webhook), delivery)

    output.show_facts({"events": session.run_in(project, work)}, as_json=as_json)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CallerError("A webhook is a UUID, as `outrider webhook list` shows it.", field="webhook") from error


def _instant(text: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise CallerError("An instant is like 2026-12-24T08:00:00Z.", field=field) from error


def _facts(one: Webhook) -> dict[str, object]:
    return {
        "id": str(one.webhook_id),
        "url": one.url,
        "description": one.description,
        "kinds": ", ".join(one.kinds) or "all",
        "ordering": one.ordering,
        "batch_count": one.batch_count,
        "batch_wait_s": one.batch_wait_s,
        "state": one.state,
        "state_reason": one.state_reason,
        "failing_since": one.failing_since,
    }


def _listed(one: Webhook) -> dict[str, object]:
    facts = _facts(one)
    return {name: facts[name] for name in ("id", "url", "state", "state_reason", "kinds", "failing_since")}


def _detail(shown: Shown) -> dict[str, object]:
    return _facts(shown.webhook) | {
        "has_token": shown.has_token,
        "old_secret_ends_at": shown.old_secret_ends_at,
        "waiting_count": shown.backlog.count,
        "waiting_since": shown.backlog.oldest_at,
    }


def _delivery(one: Delivery) -> dict[str, object]:
    return {
        "delivery": one.delivery_id,
        "at": one.at,
        "kind": one.kind,
        "attempt": one.attempt,
        "outcome": one.outcome,
        "status": one.status or "",
        "error": one.error,
        "seconds": round(one.duration_s, 3),
        "retry_at": one.retry_at,
    }

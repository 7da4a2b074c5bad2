"""`outrider warmup`: how far each source is warmed up at each provider, and an operator's word on it.

Without a subcommand it lists. `set` holds for the rest of the UTC day, then the figures move the stage again; deliver
processes follow within seconds. Stages are counted from 1, here and in the notes.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError, ConfigError
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.engine.warmup import WarmupView, set_stage, views
from outrider.knowledge import warmup_plans
from outrider.policy.warmup import Plan

warmups = typer.Typer(help="Warm-up of new sources: list, set a stage, plans.", invoke_without_command=True)

_WARM = "warm"
_COLUMNS = (
    "SOURCE",
    "PROVIDER",
    "PLAN",
    "STAGE",
    "CEILING",
    "USED TODAY",
    "ATTEMPTED",
    "DEFERRED",
    "BOUNCED",
    "COMPLAINTS",
    "NEXT",
    "WHY",
)


@warmups.callback()
def list_warmups(context: typer.Context, as_json: AsJson = False) -> None:
    """List every source and provider with its stage, today's ceiling and use, the stage's figures, and why it stays."""
    if context.invoked_subcommand is not None:
        return

    async def work(services: Services) -> Sequence[WarmupView]:
        plans = warmup_plans(services.context.config)
        return await views(services.store, plans, clock=services.context.clock)

    output.show(session.run(work), _tell_warmups, as_json=as_json)


@warmups.command("set")
def set_warmup(
    source: Annotated[str, typer.Argument(help="A source's name.")],
    provider: Annotated[str, typer.Argument(help="A provider's name, as the list shows it.")],
    *,
    stage: Annotated[str, typer.Option(help="From 1, or `warm` for no ceiling.")],
    plan: Annotated[str, typer.Option(help="Whose stages are meant, where no warm-up has begun yet.")] = "",
    as_json: AsJson = False,
) -> None:
    """Put a warm-up into a stage. It stays there today; from tomorrow on the figures move it again."""

    async def work(services: Services) -> WarmupView:
        plans, clock = warmup_plans(services.context.config), services.context.clock
        number = _parse_stage(stage)
        await set_stage(services.store, plans, source, provider, stage=number, plan_name=plan, clock=clock)
        found = await views(services.store, plans, clock=clock)
        return next(view for view in found if (view.source, view.provider) == (source, provider))

    view = session.run(work)
    if as_json:
        output.show_json(view)
    else:
        output.show_facts({"source": source, "provider": provider, "plan": view.plan, "note": view.note})


@warmups.command("plans")
def list_plans(as_json: AsJson = False) -> None:
    """List the plans: those of the package and your own."""
    plans = _plans()
    if as_json:
        output.show_json([msgspec.to_builtins(plan) for plan in plans.values()])
        return
    for plan in plans.values():
        output.show_facts(
            {
                "plan": plan.name,
                "mails a day": ", ".join(f"{count:,}" for count in plan.stages),
                "providers": ", ".join(plan.providers) or "all",
                "source": f"{plan.source or 'settings'}{f' ({plan.seen_on})' if plan.seen_on else ''}",
            }
        )
        output.show_text("")


def _tell_warmups(found: Sequence[WarmupView]) -> None:
    output.show_table(_COLUMNS, [_cells(view) for view in found], empty="Nothing is being warmed up.")


def _plans() -> Mapping[str, Plan]:
    try:
        return warmup_plans(session.settings())
    except ConfigError as error:
        session.fail(error)


def _parse_stage(text: str) -> int | None:
    if text == _WARM:
        return None
    if (number := digits.parse(text)) is None:
        raise CallerError(f"A stage is a number from 1, or `{_WARM}`.", field="stage")
    return number


def _cells(view: WarmupView) -> Sequence[object]:
    is_warm = 0 < view.stage_count < view.stage  # A count of 0: nobody knows the plan.
    return [
        view.source,
        view.provider,
        view.plan,
        _WARM if is_warm else f"{view.stage} of {view.stage_count or '?'}",
        "-" if view.ceiling is None else f"{view.ceiling:,}",
        f"{view.used:,}",
        f"{view.attempted:,}",
        f"{view.deferred_ratio:.1%}",
        f"{view.bounced_ratio:.1%}",
        f"{view.complained_ratio:.2%}",
        view.next_change_on or "-",
        view.outlook if is_warm else f"{view.note} {view.outlook}",
    ]

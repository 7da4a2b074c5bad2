"""The worker role: the upkeep, the judges of warm-ups and guards, and the reader of what came back."""

import asyncio

from outrider import app
from outrider.app import Context
from outrider.engine.guard import GuardJudge
from outrider.engine.service import run_all
from outrider.engine.upkeep import Upkeep
from outrider.engine.warmup import WarmupJudge
from outrider.services.inbound import ReportReader


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the upkeep, the judges of warm-ups and guards, and the reader of what came back."""
    clock, log, metrics = context.clock, context.log, context.metrics
    async with context.store() as store:
        judge = WarmupJudge(store, app.warmup_plans(context.config), context.egress.warmups, clock=clock, logger=log)
        guards = GuardJudge(store, clock=clock, logger=log, metrics=metrics)
        reader = ReportReader(store, app.make_classifier(context.config), clock=clock, logger=log, metrics=metrics)
        await run_all([Upkeep(store, clock=clock, logger=log), judge, guards, reader], stop_asked)

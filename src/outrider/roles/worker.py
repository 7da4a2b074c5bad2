"""The worker role: upkeep, notices, the reader of what came back, and the judges of warm-ups, guards and domains."""

import asyncio

from outrider import app, knowledge
from outrider.app import Context
from outrider.engine.guard import GuardJudge
from outrider.engine.service import Part, run_all
from outrider.engine.upkeep import Upkeep
from outrider.engine.warmup import WarmupJudge
from outrider.services.dkim_keys import KeyKeeper
from outrider.services.inbound import ReportReader
from outrider.services.notices import NoticeMailer
from outrider.services.stats import StatKeeper


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the upkeep, the judges, the keeper of keys, the reader of what came back, and the notices."""
    clock, log, metrics = context.clock, context.log, context.metrics
    async with context.store() as store:
        judge = WarmupJudge(
            store, knowledge.warmup_plans(context.config), context.egress.warmups, clock=clock, logger=log
        )
        guards = GuardJudge(store, clock=clock, logger=log, metrics=metrics)
        reader = ReportReader(
            store, knowledge.make_classifier(context.config), clock=clock, logger=log, metrics=metrics
        )
        services = app.make_services(context, store)
        mailer = NoticeMailer(store, services.accept, clock=clock, logger=log)
        keeper = KeyKeeper(services.keys, clock=clock, logger=log)
        counter = StatKeeper(store, clock=clock, logger=log)
        own: list[Part] = [counter, Upkeep(store, clock=clock, logger=log), judge, guards, reader, keeper]
        await run_all([services.accept, *own, services.verification, mailer], stop_asked)

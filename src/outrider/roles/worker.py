"""The worker role: upkeep, expiry, notices, alerts, webhooks, what came back, the judges of warm-ups, guards, domains.

Any number of processes may run it: each part takes its turns through the database.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from outrider import app, knowledge
from outrider.app import Context, Services
from outrider.base import ids
from outrider.engine.expiry import ExpiryKeeper
from outrider.engine.guard import GuardJudge
from outrider.engine.service import Part, run_all
from outrider.engine.upkeep import Upkeep
from outrider.engine.warmup import WarmupJudge
from outrider.services.alerts import AlertKeeper
from outrider.services.inbound import ReportReader
from outrider.services.key_keeper import KeyKeeper
from outrider.services.notices import NoticeMailer
from outrider.services.retention import RetentionKeeper
from outrider.services.stats import StatKeeper
from outrider.services.status_reports import ReportMailer, ReportNoter
from outrider.services.webhooks.dispatch import Dispatcher
from outrider.services.webhooks.sending import HookSender, Poster
from outrider.services.webhooks.standing import Standing
from outrider.services.webhooks.upkeep import WebhookKeeper


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the upkeep, the judges, the keeper of keys, the reader of what came back, the notices and the webhooks."""
    clock, log, metrics = context.clock, context.log, context.metrics
    async with context.store() as store, app.make_poster(context) as poster:
        judge = WarmupJudge(
            store, knowledge.warmup_plans(context.config), context.egress.warmups, clock=clock, logger=log
        )
        guards = GuardJudge(store, clock=clock, logger=log, metrics=metrics)
        reader = ReportReader(
            store, knowledge.make_classifier(context.config), clock=clock, logger=log, metrics=metrics
        )
        services = app.make_services(context, store)
        mailer = NoticeMailer(store, partial(services.accept, is_ours=True), clock=clock, logger=log)
        keeper = KeyKeeper(services.keys, clock=clock, logger=log)
        counter = StatKeeper(store, clock=clock, logger=log)
        watcher = AlertKeeper(store, clock=clock, random_bits=context.chance.getrandbits, logger=log)
        own: list[Part] = [counter, watcher, Upkeep(store, clock=clock, logger=log), judge, guards, reader, keeper]
        own.append(ExpiryKeeper(store, clock=clock, logger=log, metrics=metrics))
        own.append(RetentionKeeper(store, days=context.config.retention.days, clock=clock, logger=log))
        hooks = make_webhooks(services, poster)
        told = [mailer, *make_reports(services)]
        await run_all([services.accept, *own, services.verification, *told, *hooks], stop_asked)


def make_reports(services: Services) -> Sequence[Part]:
    """Who tells by mail what became of mail: one notes what was asked for, one sends it."""
    context, store = services.context, services.store
    clock, log = context.clock, context.log
    noter = ReportNoter(
        store,
        delay_after_s=context.config.submission.delay_notice_after_s,
        clock=clock,
        random_bits=context.chance.getrandbits,
        logger=log,
    )
    send = partial(services.accept, is_ours=True)
    host_name = app.net_settings(context.config).ehlo_name
    return [noter, ReportMailer(store, send, host_name=host_name, clock=clock, logger=log)]


def make_webhooks(services: Services, poster: Poster) -> Sequence[Part]:
    """Who tells the servers of customers: one makes calls of events, one makes the calls, one forgets the old ones."""
    context, store = services.context, services.store
    clock, log = context.clock, context.log
    sender = HookSender(
        store,
        services.vault,
        poster,
        Standing(store, clock=clock, random_bits=context.chance.getrandbits),
        owner=ids.uuid4(context.chance.getrandbits(128)),
        in_flight_max=context.config.webhooks.in_flight_max,
        clock=clock,
        chance=context.chance.random,
        logger=log,
        metrics=context.metrics,
    )
    keeper = WebhookKeeper(store, log_kept_s=context.config.webhooks.log_kept_s, clock=clock, logger=log)
    return [sender, Dispatcher(store, clock=clock, logger=log, has_called=sender.nudge), keeper]

"""The web role: the services of `app` behind the HTTP faces. Only here is Litestar needed (40 MB).

`accept` runs as long as the server does: the faces refuse first, then what was accepted is committed, then the store
closes.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from outrider.app import Context, Services, make_mailbox, make_services
from outrider.base import ids, limits
from outrider.engine import guard
from outrider.engine.control import Control, Target
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardView
from outrider.engine.service import run_all
from outrider.faces.api.app import make_app
from outrider.faces.api.ports import Cancel, Managed, Ports
from outrider.faces.api.server import HttpServer
from outrider.faces.console import proof
from outrider.faces.console.mailbox import routes as mailbox_routes
from outrider.net.http import Fetcher
from outrider.services.attachments import Attachments
from outrider.services.event_log import EventLog, Streams
from outrider.services.mail import Mail
from outrider.services.outbox import Outbox
from outrider.services.replays import Replays
from outrider.services.roster import Roster
from outrider.services.stats import Stats


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run one web process: the API, the mailbox page, health and metrics."""
    config = context.config
    async with context.store() as store:
        services = make_services(context, store)
        more = proof.routes(services.proofs, context.clock, context.log)
        if config.is_catch:
            more += mailbox_routes(make_mailbox(context), services.keys.published_record, context.clock)
        managed = make_managed(services)
        app = make_app(make_ports(services, managed), more)
        server = HttpServer(app, config.faces.http_host, config.faces.http_port)
        # Last in, first out: a server that stops waits for its streams, so they end before.
        await run_all([services.access, services.accept, server, managed.streams], stop_asked)


def make_ports(services: Services, managed: Managed) -> Ports:
    """What the API needs, from the services."""
    context, clock = services.context, services.context.clock
    return Ports(
        accept=services.accept,
        examine=services.accept.examine,
        authenticate=services.access.authenticate,
        spend=services.access.spend,
        trusted_proxies=context.config.trusted_proxies(),
        list_senders=Roster(services.store).page,
        report_session=services.reports.session,
        resolve_files=Attachments(Fetcher(wait_s=limits.FILE_FETCH_WAIT_S)).resolve,
        first_answer=services.accept.first_answer,
        replays=Replays(services.store, clock=clock),
        outbox=Outbox(services.store, services.accept),
        cancel=_cancel_by(Control(services.store, clock=clock, random_bits=context.chance.getrandbits)),
        mail=Mail(services.store, clock=clock),
        is_ready=services.store.is_ready,
        new_request_id=lambda: ids.uuid4(context.id_bits(128)),
        log=context.log,
        metrics=context.metrics,
        has_mailbox=context.config.is_catch,
        managed=managed,
    )


def make_managed(services: Services) -> Managed:
    """What the calls that look after a project stand on."""
    store, clock = services.store, services.context.clock
    log = EventLog(store, clock=clock)

    async def guards_of(project_id: UUID) -> Sequence[GuardView]:
        return [one for one in await guard.views(store, clock=clock) if one.project_id == project_id]

    return Managed(
        access=services.access,
        accounts=services.accounts,
        identity=services.identity,
        keys=services.keys,
        senders=services.senders,
        proofs=services.proofs,
        suppressions=services.suppressions,
        verification=services.verification,
        notices=services.notices,
        quotas=services.quotas,
        log=log,
        streams=Streams(log, clock=clock, logger=services.context.log),
        stats=Stats(store, clock=clock),
        explainer=Explainer(store, clock=clock),
        guards=guards_of,
        clock=clock,
    )


def _cancel_by(control: Control) -> Cancel:
    async def cancel(project_id: UUID, message_id: UUID) -> int:
        return (await control.drop(Target.session(project_id, message_id))).recipient_count

    return cancel

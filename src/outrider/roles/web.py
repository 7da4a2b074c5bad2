"""The web role: the services of `app` behind the HTTP faces. Only here is Litestar needed (40 MB).

`accept` runs as long as the server does: the faces refuse first, then what was accepted is committed, then the store
closes.
"""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from litestar.types import ASGIApp, ControllerRouterHandler

from outrider import knowledge
from outrider.app import Context, Services, installation, key_source, make_mailbox, make_services
from outrider.base import ids, limits
from outrider.engine import guard
from outrider.engine.control import Control, Target
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardView
from outrider.engine.inline import Inliner
from outrider.engine.service import Part, Repeat, run_all
from outrider.faces.api import well_known
from outrider.faces.api.app import make_app
from outrider.faces.api.ports import Cancel, Managed, Ports, Release
from outrider.faces.api.server import HttpServer
from outrider.faces.console import leaving, proof
from outrider.faces.console.mailbox import routes as mailbox_routes
from outrider.faces.track.doors import Doors
from outrider.faces.track.secure import SecureServer
from outrider.net.country_file import CountryFile
from outrider.net.host_certificates import HostCertificates
from outrider.net.http import Fetcher
from outrider.policy import simulate
from outrider.services.attachments import Attachments
from outrider.services.event_log import EventLog, Streams
from outrider.services.leaving import Exits
from outrider.services.log_search import EventSearch
from outrider.services.mail import Mail
from outrider.services.mta_sts import PolicyBook
from outrider.services.outbox import Outbox
from outrider.services.replays import Replays
from outrider.services.return_paths import UNSUBSCRIBE_PATH, signer_of
from outrider.services.roster import Roster
from outrider.services.stats import Stats
from outrider.services.tracking import Tracker
from outrider.services.tracking_terms import tokens_of
from outrider.store.vault import vault_of

_FILES_ROUND_S: Final = 10.0  # Ours: how soon a new file of countries counts.


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run one web process: the API, the mailbox page, health and metrics."""
    config = context.config
    async with context.store() as store:
        services = make_services(context, store)
        policies = PolicyBook(store, mx_host=installation(config).mx_host, clock=context.clock)
        proxies = config.trusted_proxies()
        exits = Exits(store, signer_of(vault_of(key_source(context))), clock=context.clock)
        more: list[ControllerRouterHandler] = [
            *proof.routes(services.proofs, context.clock, context.log, proxies=proxies),
            *leaving.routes(exits, context.clock, context.log, proxies=proxies),
            *well_known.routes(policies),
        ]
        if config.is_catch:
            more += mailbox_routes(make_mailbox(context), services.keys.published_record, context.clock)
        managed = make_managed(services)
        countries = CountryFile(config.data_path / config.tracking.country_file, log=context.log)
        tracker = Tracker(
            store,
            knowledge.agents(),
            too_soon_s=config.tracking.too_soon_s,
            waiting_max=config.tracking.hits_waiting_max,
            clock=context.clock,
            logger=context.log,
            metrics=context.metrics,
            country_of=countries.of,
        )
        doors = Doors(
            tokens_of(vault_of(key_source(context))),
            tracker.take,
            proxies=proxies,
            clock=context.clock,
            metrics=context.metrics,
        )
        app = make_app(make_ports(services, managed), more, quick=doors.paths())
        server = HttpServer(app, config.faces.http_host, config.faces.http_port)
        servers: list[Part] = [server, *await secure_servers(context, {**doors.paths(), UNSUBSCRIBE_PATH: app})]
        if config.tracking.country_file:
            servers.append(Repeat(countries.refresh, _FILES_ROUND_S, clock=context.clock))
        # What a start leaves lives as long as we do; each full collection would look at it. Measured (2026-11): 67 ms.
        gc.collect()
        gc.freeze()
        # Last in, first out: a server that stops waits for its streams, so they end before.
        await run_all([services.access, services.accept, tracker, *servers, managed.streams], stop_asked)


async def secure_servers(context: Context, doors: Mapping[str, ASGIApp]) -> Sequence[Part]:
    """The port for tracking hosts with certificates, if there is to be one. Raises ConfigError."""
    tracking, log = context.config.tracking, context.log
    if not tracking.tls_listen:
        return ()
    folder = context.config.data_path / tracking.certificates if tracking.certificates else None
    return [
        SecureServer(
            doors,
            await asyncio.to_thread(HostCertificates, folder, log=log),
            simulate.parse_host_port(tracking.tls_listen, "tracking.tls_listen"),
            clock=context.clock,
            log=log,
            metrics=context.metrics,
        )
    ]


def make_ports(services: Services, managed: Managed) -> Ports:
    """What the API needs, from the services."""
    context, clock = services.context, services.context.clock
    return Ports(
        accept=services.accept,
        examine=services.accept.examine,
        authenticate=services.access.authenticate,
        screen=services.access.screen,
        spend=services.access.spend,
        trusted_proxies=context.config.trusted_proxies(),
        list_senders=Roster(services.store).page,
        report_session=services.reports.session,
        resolve_files=Attachments(Fetcher(wait_s=limits.FILE_FETCH_WAIT_S)).resolve,
        first_answer=services.accept.first_answer,
        find_template=services.published.find,
        compile_inline=Inliner(),
        replays=Replays(services.store, clock=clock),
        outbox=Outbox(services.store, services.accept),
        templates=services.templates,
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
        releases=services.releases,
        keys=services.keys,
        senders=services.senders,
        proofs=services.proofs,
        suppressions=services.suppressions,
        topics=services.topics,
        preferences=services.preferences,
        verification=services.verification,
        notices=services.notices,
        webhooks=services.webhooks,
        tracking_terms=services.tracking_terms,
        quotas=services.quotas,
        retentions=services.retentions,
        project_terms=services.project_terms,
        contents=services.contents,
        candidate=services.accept.candidate,
        release=_release_by(Control(store, clock=clock, random_bits=services.context.chance.getrandbits)),
        templates=services.templates,
        partials=services.partials,
        trial=services.trial,
        log=log,
        search=EventSearch(store, clock=clock),
        streams=Streams(log, clock=clock, logger=services.context.log),
        stats=Stats(store, clock=clock),
        alerts=services.alerts,
        reputation=services.reputation,
        explainer=Explainer(store, clock=clock),
        guards=guards_of,
        clock=clock,
    )


def _release_by(control: Control) -> Release:
    async def release(project_id: UUID, message_id: UUID) -> int:
        return (await control.release(Target.session(project_id, message_id))).recipient_count

    return release


def _cancel_by(control: Control) -> Cancel:
    async def cancel(project_id: UUID, message_id: UUID) -> int:
        return (await control.drop(Target.session(project_id, message_id))).recipient_count

    return cancel

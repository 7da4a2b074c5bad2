"""The web role: the API, the mailbox page, health and metrics. Only here is Litestar needed (40 MB)."""

import asyncio
from uuid import uuid4

from outrider import app
from outrider.app import Context
from outrider.engine.service import run_all
from outrider.faces.api.app import make_app
from outrider.faces.api.ports import Ports
from outrider.faces.api.server import HttpServer
from outrider.faces.console import proof
from outrider.faces.console.mailbox import routes as mailbox_routes


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run one web process: the API, the mailbox page, health and metrics."""
    config = context.config
    async with context.store() as store:
        services = app.make_services(context, store)
        ports = Ports(
            accept=services.accept,
            authenticate=services.accounts.authenticate,
            report_session=services.reports.session,
            is_ready=store.is_ready,
            new_request_id=uuid4,
            log=context.log,
            metrics=context.metrics,
            has_mailbox=config.is_catch,
        )
        more = proof.routes(services.proofs, context.clock, context.log)
        if config.is_catch:
            more += mailbox_routes(app.make_mailbox(context), services.keys.published_record, context.clock)
        server = HttpServer(make_app(ports, more), config.faces.http_host, config.faces.http_port)
        await run_all([services.accept, server], stop_asked)

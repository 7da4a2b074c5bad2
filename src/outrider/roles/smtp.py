"""The smtp role: what comes back to our return paths, the simulator, and in catch mode the mailbox's receiver.

Failure: a simulator without its port is said in the log and missing, the others go on; any other port, or a
certificate that cannot be used (`inbound_tls`), ends the process.
"""

import asyncio
import random
import ssl

from outrider import app
from outrider.app import Context
from outrider.base.errors import ConfigError
from outrider.config import Config
from outrider.engine.service import run_all
from outrider.faces.smtp import late_mail, simulator
from outrider.faces.smtp.catch import CatchServer
from outrider.faces.smtp.inbound import InboundServer
from outrider.policy import simulate
from outrider.services.inbound import Inbox
from outrider.services.return_paths import signer_of


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the SMTP faces: what comes back, the simulator and, in catch mode, the receiver of the built-in mailbox."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_run_inbound(context, stop_asked))
        group.create_task(_run_simulator(context, stop_asked))
        if context.config.is_catch:
            group.create_task(_run_catch(context, stop_asked))


async def _run_inbound(context: Context, stop_asked: asyncio.Event) -> None:
    """Take the mail that comes back to our return paths."""
    config, clock = context.config, context.clock
    async with context.store() as store:
        signer = signer_of(app.make_vault(context))
        inbox = Inbox(store, signer, clock=clock, random_bits=context.chance.getrandbits, metrics=context.metrics)
        server = InboundServer(
            inbox,
            config.faces.inbound_host,
            config.faces.inbound_port,
            host_name=app.net_settings(config).ehlo_name,
            tls=inbound_tls(config),
            clock=clock,
            log=context.log,
        )
        await server.start()
        try:
            await run_all([inbox], stop_asked)
        finally:
            await server.stop()


async def _run_simulator(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the built-in simulator. Without its port there is none, which must not keep other mail from coming in."""
    faces = context.config.faces
    to = ("127.0.0.1", faces.inbound_port)
    if faces.simulator_answers_to:
        to = simulate.parse_host_port(faces.simulator_answers_to, "faces.simulator_answers_to")
    server, parts = simulator.assemble(
        simulator.Manner(
            tls=simulator.make_tls(), port=faces.simulator_port, answer_after_s=faces.simulator_answer_after_s
        ),
        app.simulator_words(),
        late_mail.to_one(*to),
        app.net_settings(context.config),
        clock=context.clock,
        random=random.Random(context.chance.getrandbits(64)),
        log=context.log,
    )
    try:
        await server.listen()
    except OSError as error:
        context.log.warning(
            "simulator_not_started", reason=str(error), port=server.port, setting="OUTRIDER_SIMULATOR_PORT"
        )
        await stop_asked.wait()
        return
    await run_all(parts, stop_asked)


async def _run_catch(context: Context, stop_asked: asyncio.Event) -> None:
    mailbox = app.make_mailbox(context)
    server = CatchServer(mailbox, "127.0.0.1", context.config.faces.catch_port, log=context.log)
    await server.start()
    try:
        await stop_asked.wait()
    finally:
        await server.stop()
        await asyncio.to_thread(mailbox.close)


def inbound_tls(config: Config) -> ssl.SSLContext | None:
    """What STARTTLS offers to who brings mail back, None without a certificate.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    if not config.inbound.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.data_path / config.inbound.certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"inbound.certificate: {config.inbound.certificate} cannot be used: {error}.") from error
    return context

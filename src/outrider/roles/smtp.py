"""The smtp role: the relay, what comes back to our return paths, the simulator, in catch mode the mailbox's receiver.

Failure: a simulator without its port is said in the log and missing, the others go on; a port that is taken is tried
again and again, and said (`faces.smtp.listener`); a certificate that cannot be used (`inbound_tls`, `relay_tls`) ends
the process.
"""

import asyncio
import random
import ssl

from outrider import app, knowledge
from outrider.app import Context, Services
from outrider.base.errors import ConfigError
from outrider.config import Config
from outrider.engine.service import run_all
from outrider.faces.settings import LineEnds, ReportPolicy
from outrider.faces.smtp import late_mail, simulator
from outrider.faces.smtp.catch import CatchServer
from outrider.faces.smtp.inbound import InboundServer
from outrider.faces.smtp.listener import PatientListener
from outrider.faces.smtp.login import Login
from outrider.faces.smtp.submission import Relay, SubmissionServer
from outrider.faces.smtp.transaction import Desk
from outrider.net import pem_files
from outrider.net.pem_files import Certificate
from outrider.obs.log import Logger
from outrider.policy import simulate
from outrider.services.inbound import Inbox
from outrider.services.return_paths import BounceDomains, signer_of
from outrider.store.vault import vault_of


async def run(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the SMTP faces: what comes back, the simulator and, in catch mode, the receiver of the built-in mailbox."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_run_relay(context, stop_asked))
        group.create_task(_run_inbound(context, stop_asked))
        group.create_task(_run_simulator(context, stop_asked))
        if context.config.is_catch:
            group.create_task(_run_catch(context, stop_asked))


async def _run_relay(context: Context, stop_asked: asyncio.Event) -> None:
    """Take mail from our own users. What was accepted is committed before the store closes: the ports close first."""
    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    async with context.store() as store:
        services = app.make_services(context, store)
        relay = make_relay(services)
        faces, host = config.faces, config.submission.host
        open_port = SubmissionServer(relay, host, faces.submission_port, is_tls_first=False)
        tls_port = SubmissionServer(relay, host, faces.submissions_port, is_tls_first=True)
        ports = [
            PatientListener(server, name, setting, clock=clock, log=log, metrics=metrics)
            for server, name, setting in (
                (open_port, "submission", "OUTRIDER_SUBMISSION_PORT"),
                (tls_port, "submissions", "OUTRIDER_SUBMISSIONS_PORT"),
            )
        ]
        await run_all([services.access, services.accept, relay, *ports], stop_asked)


def make_relay(services: Services) -> Relay:
    """What the connections of the relay share. Raises ConfigError: the certificate cannot be used."""
    context = services.context
    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    host_name = app.net_settings(config).ehlo_name
    login = Login(services.access, config.submission_networks(), clock=clock, log=log, metrics=metrics)
    desk = Desk(
        services.accept,
        services.published.find,
        host_name=host_name,
        is_strict=config.submission.line_ends is LineEnds.REFUSE,
        clock=clock,
        random_bits=context.chance.getrandbits,
        log=log,
        reports_failures=config.submission.notices is ReportPolicy.FAILURES,
    )
    return Relay(
        login,
        desk,
        relay_tls(config, host_name, log),
        host_name=host_name,
        is_plain_auth_on_loopback=config.submission.plain_auth_on_loopback,
        clock=clock,
        log=log,
        metrics=metrics,
    )


def relay_tls(config: Config, host_name: str, log: Logger) -> Certificate:
    """The certificate of the relay, self-signed where none is named. Raises ConfigError: it cannot be used."""
    named, key, setting = config.submission.certificate, config.submission.private_key, "submission.certificate"
    if not named:
        return Certificate(pem_files.self_signed(config.data_path, host_name), None, setting=setting, log=log)
    private_key = config.data_path / key if key else None
    return Certificate(config.data_path / named, private_key, setting=setting, log=log)


async def _run_inbound(context: Context, stop_asked: asyncio.Event) -> None:
    """Take the mail that comes back to our return paths."""
    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    async with context.store() as store:
        domains = BounceDomains(store, shared_domain=config.inbound.bounce_domain, clock=clock, logger=log)
        signer, random_bits = signer_of(vault_of(app.key_source(context))), context.chance.getrandbits
        inbox = Inbox(store, signer, domains, clock=clock, random_bits=random_bits, metrics=metrics)
        server = InboundServer(
            inbox,
            config.faces.inbound_host,
            config.faces.inbound_port,
            host_name=app.net_settings(config).ehlo_name,
            tls=inbound_tls(config),
            clock=clock,
            log=log,
        )
        listener = PatientListener(server, "inbound", "OUTRIDER_INBOUND_PORT", clock=clock, log=log, metrics=metrics)
        await run_all([inbox, domains, listener], stop_asked)


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
        knowledge.simulator_words(),
        late_mail.to_one(*to),
        app.net_settings(context.config),
        clock=context.clock,
        random=random.Random(context.chance.getrandbits(64)),
        log=context.log,
    )
    listening, setting = context.metrics.listening.labels(face="simulator"), "OUTRIDER_SIMULATOR_PORT"
    try:
        await server.listen()
    except OSError as error:
        listening.set(0)
        context.log.warning("simulator_not_started", reason=str(error), port=server.port, setting=setting)
        await stop_asked.wait()
        return
    listening.set(1)
    await run_all(parts, stop_asked)


async def _run_catch(context: Context, stop_asked: asyncio.Event) -> None:
    mailbox, clock, log = app.make_mailbox(context), context.clock, context.log
    server = CatchServer(mailbox, "127.0.0.1", context.config.faces.catch_port, log=log)
    listener = PatientListener(server, "catch", "OUTRIDER_CATCH_PORT", clock=clock, log=log, metrics=context.metrics)
    try:
        await run_all([listener], stop_asked)
    finally:
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

"""`outrider doctor`: looks at whatever keeps mail from going out, coming back or being believed; changes nothing.

Ends with 0 if nothing failed (there may be warnings), 69 if something did, 78 if the settings cannot be read. Works
whether or not the server runs; a database that cannot be reached is one of the checks. In catch mode nobody out there
is asked, but about what the command line names.

    settings   read, with their origin              database   opened, never migrated; then clock and queue
    machine    ports, disk, certificate             egress, domains   DNS, block lists, one call to a mail host

Everything that waits for others runs at once, for `--wait` seconds at most.
"""

import asyncio
import contextlib
import importlib.metadata
import ipaddress
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from outrider import app
from outrider.app import Context, Services
from outrider.base import limits
from outrider.base.errors import CallerError, ConfigError, NotFoundError, OutriderError, StoreError
from outrider.cli import doctor_report, output, session, supervisor
from outrider.cli.doctor_report import Report
from outrider.cli.options import AsJson, Project
from outrider.cli.session import EXIT_UNAVAILABLE
from outrider.config import Config, explain, load
from outrider.database import open_database
from outrider.knowledge import block_lists
from outrider.net import ours
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.policy import checkup, checkup_node
from outrider.policy.checkup import Check, CheckState
from outrider.roles.smtp import inbound_tls, relay_tls
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.checkup import run
from outrider.services.checkup.content import FILTER, ContentCheckup
from outrider.services.checkup.database import DatabaseCheckup
from outrider.services.checkup.domains import DomainCheckup
from outrider.services.checkup.egress import EgressCheckup, Question, Way
from outrider.services.checkup.machine import Machine, MachineCheckup, Port, RelayCertificate
from outrider.services.checkup.run import Probe
from outrider.services.checkup.tracking import TrackingCheckup
from outrider.services.identity import Domain

_CATCH: Final = "catch mode: no mail leaves this machine, so nobody out there is asked."


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says."""

    domains: Sequence[str] = ()
    project: str = DEFAULT_PROJECT
    mx: str = ""
    addresses: Sequence[str] = ()
    has_lists: bool = True
    wait_s: float = limits.CHECKUP_WAIT_S


class _Mail(msgspec.Struct, frozen=True):
    """What the database knows of the project's domains."""

    domains: Sequence[Domain] = ()
    return_paths: Sequence[str] = ()
    pathless: Sequence[str] = ()  # Domains that no bounce domain takes mail for.


def doctor(
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="[DOMAIN]...", help="Only these of the project; without, all of it.")
    ] = None,
    *,
    mx: Annotated[str, typer.Option(help="The mail host to call on port 25; default: one of the domains' own.")] = "",
    address: Annotated[
        list[str] | None, typer.Option(help="An address that mail leaves from, as receivers see it (behind NAT).")
    ] = None,
    block_lists: Annotated[bool, typer.Option(help="Ask DNS block lists about the addresses.")] = True,
    wait: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for all of it.")] = limits.CHECKUP_WAIT_S,
    report: Annotated[
        Path | None, typer.Option(help="Write it to a file to share: Markdown, or HTML if it ends in .html.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Check settings, database, queue, ports, TLS, sending addresses, DNS. Ends with 69 if a check failed, else 0."""
    try:
        asked = Asked(
            domains=domains or (),
            project=project,
            mx=mx,
            addresses=[_address(one) for one in address or ()],
            has_lists=block_lists,
            wait_s=wait,
        )
        found = asyncio.run(_examine(asked))
        if report is not None:
            _write(report, doctor_report.page(found, is_html=report.suffix in (".html", ".htm")))
    except OutriderError as error:
        session.fail(error)
    output.show(found, doctor_report.tell, as_json=as_json)
    if found.state is CheckState.FAIL:
        raise SystemExit(EXIT_UNAVAILABLE)


async def _examine(asked: Asked) -> Report:
    """Look at everything."""
    config, settings = load(os.environ), explain(os.environ)
    log = make_logger(LogSettings(level="error"), "cli")
    checks, probes = [_mode(config)], list[Probe]()
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(_opened(config, asked.wait_s))
        if isinstance(opened, Check):
            checks.append(opened)
            context = app.make_context(_patient(config), "", log)
            mail, services = _Mail(), None
        else:
            context, services = opened
            probes, mail, more = await _in_database(context, services, asked)
            checks += more
        checks.append(_unsubscribe(config, mail))
        probes += MachineCheckup(_machine(context), clock=context.clock).probes()
        probes += _filter(context)
        probes += _tracking(context, mail)
        probes += _outside(context, services, mail, asked)
        checks += await run.run(probes, wait_s=asked.wait_s)
    ordered = checkup.arranged(checks)
    return Report(
        version=importlib.metadata.version("outrider"),
        state=checkup.worst(ordered),
        at=context.clock.now(),
        counts=checkup.counted(ordered),
        checks=ordered,
        settings=settings,
    )


@contextlib.asynccontextmanager
async def _opened(config: Config, wait_s: float) -> AsyncIterator[tuple[Context, Services] | Check]:
    """Yield services on the database as it is, or why there are none."""
    log = make_logger(LogSettings(level="error"), "cli")
    async with contextlib.AsyncExitStack() as stack:
        found: tuple[Context, Services] | Check
        try:
            database = await stack.enter_async_context(open_database(config, session.say, is_upgrading=False))
            context = app.make_context(_patient(config), database.dsn, log)
            async with asyncio.timeout(wait_s):
                store = await stack.enter_async_context(context.store())
            found = context, app.make_services(context, store)
        except ConfigError as error:
            found = checkup.fail("settings.usable", error.public, "Change the setting that it names.")
        except OutriderError as error:
            cause = error.detail.get("cause") or error.detail.get("log") or ""
            advice = "Is the server up, and OUTRIDER_DATABASE_URL right?" if config.database_url else "Look at its log."
            found = checkup.fail("database.reachable", f"{error.public} {cause}".strip(), advice)
        except TimeoutError:
            advice = "Is the server up, and OUTRIDER_DATABASE_URL right?"
            found = checkup.fail("database.reachable", f"no answer in {wait_s:g} s.", advice)
        yield found


async def _in_database(
    context: Context, services: Services, asked: Asked
) -> tuple[list[Probe], _Mail, Sequence[Check]]:
    """Return what to look at in the database, what it knows of domains, and whether its tables are ours."""
    looks = DatabaseCheckup(services.store, clock=context.clock)
    checks = [checkup.ok("database.reachable", "it answers.")]
    probes: list[Probe] = []
    mail = _Mail()
    try:
        async with asyncio.timeout(asked.wait_s):
            migrations, is_current = await looks.migrations()
            checks.append(migrations)
            probes = looks.probes(has_tables=is_current)
            mail = await _mail_of(services, asked) if is_current else mail
    except NotFoundError:
        if asked.domains or asked.project != DEFAULT_PROJECT:
            raise
        checks.append(checkup.skip("domain.standing", "there is no project yet."))
    except (StoreError, TimeoutError) as error:
        seen = f"it cannot be read: {getattr(error, 'detail', {}).get('cause') or 'no answer in time'}."
        checks.append(checkup.fail("database.migrations", seen, "Look at the database's log."))
    return probes, mail, checks


async def _mail_of(services: Services, asked: Asked) -> _Mail:
    """Return the domains asked about and where their bounces come back to. Raises NotFoundError, CallerError."""
    project_id = (await services.accounts.project(asked.project)).project_id
    if asked.domains:
        domains = [await services.identity.domain(project_id, name) for name in dict.fromkeys(asked.domains)]
    else:
        domains = list(await services.identity.list_domains(project_id))
    shared = (await services.identity.bounce_domain(project_id)).name
    paths = {one.return_path or shared or one.name for one in domains if one.verified_at is not None}
    pathless = [one.name for one in domains if not (one.return_path or shared)]
    return _Mail(domains, sorted(paths), pathless)


def _outside(context: Context, services: Services | None, mail: _Mail, asked: Asked) -> list[Probe]:
    """Return what to ask others: about the addresses, about the domains."""
    config = context.config
    is_asked = not config.is_catch or bool(asked.domains)
    ways = _ways(config, asked)
    probes: list[Probe] = []
    if config.is_catch and not asked.addresses:
        probes.append(_said(checkup.skip("egress.address", _CATCH)))
    if not is_asked and mail.domains:
        advice = "Name the domains: outrider doctor DOMAIN."
        probes.append(_said(checkup.skip("domain.standing", _CATCH, advice)))
    if not is_asked and not ways:
        return probes
    from outrider.net.dns import Resolver  # dnspython: 10 MB that catch mode does not need.
    from outrider.net.dns_query import NameServers
    from outrider.net.records import RecordLooker

    net = app.net_settings(config)
    asker = NameServers(net.dns_server, clock=context.clock, wait_s=net.dns_wait_s)
    looker = RecordLooker(asker, wait_s=min(limits.CHECKUP_RECORDS_WAIT_S, asked.wait_s))
    if ways or not config.is_catch:
        return_paths = mail.return_paths or [one for one in (config.inbound.bounce_domain,) if one]
        question = Question(
            ways=ways,
            domains=[one.name for one in mail.domains] if is_asked else (),
            return_paths=return_paths if is_asked else (),
            lists=block_lists() if asked.has_lists else (),
            mx_host=asked.mx,
            port=net.smtp_port,
            may_be_private=net.allow_private_mx,
        )
        chance = random.Random(context.chance.getrandbits(64))
        router = Resolver(net, clock=context.clock, random=chance, our_names=(net.ehlo_name,))
        probes += EgressCheckup(question, asker=asker, spf=looker, router=router, is_ours=ours.is_ours).probes()
    if services is not None and is_asked:
        probes += DomainCheckup(
            mail.domains,
            services.verification,
            checker=looker,
            asker=asker,
            report_address=config.identity.dmarc_reports,
        ).probes()
    return probes


def _ways(config: Config, asked: Asked) -> Sequence[Way]:
    """Return what mail leaves from: what the command line names, else the sources; none in catch mode."""
    ehlo_name = app.net_settings(config).ehlo_name
    sources = config.make_egress().sources
    if asked.addresses:
        named = {one.address: one.ehlo_name for one in sources}
        return [Way(one, one, named.get(one) or ehlo_name, is_local=ours.is_ours(one)) for one in asked.addresses]
    if config.is_catch:
        return ()
    return [
        Way(
            one.name,
            one.address or ("" if one.smarthost is not None else ours.address_outward()),
            one.ehlo_name or ehlo_name,
            is_local=not one.address or ours.is_ours(one.address),
            is_set=bool(one.address),
            smarthost=None if one.smarthost is None else (one.smarthost.host, one.smarthost.port),
        )
        for one in sources
    ]


def _machine(context: Context) -> Machine:
    """Return what of this machine is looked at."""
    config = context.config
    faces, roles = config.faces, supervisor.running_roles(config.data_path / "run")
    ports = [
        Port("ports.http", faces.http_host, faces.http_port, "OUTRIDER_HTTP_PORT", "web" in roles, is_http=True),
        Port("ports.inbound", faces.inbound_host, faces.inbound_port, "OUTRIDER_INBOUND_PORT", "smtp" in roles),
        Port("ports.simulator", "127.0.0.1", faces.simulator_port, "OUTRIDER_SIMULATOR_PORT", "smtp" in roles),
    ]
    host, has_relay = config.submission.host, "smtp" in roles
    ports.append(Port("ports.submission", host, faces.submission_port, "OUTRIDER_SUBMISSION_PORT", has_relay))
    ports.append(
        Port("ports.submissions", host, faces.submissions_port, "OUTRIDER_SUBMISSIONS_PORT", has_relay, speaks_tls=True)
    )
    if config.is_catch:
        ports.append(Port("ports.catch", "127.0.0.1", faces.catch_port, "OUTRIDER_CATCH_PORT", "smtp" in roles))
    named = config.inbound.certificate
    return Machine(
        data_path=config.data_path,
        ports=ports,
        certificate_path=config.data_path / named if named else None,
        check_certificate=lambda: inbound_tls(config),
        wants_certificate=not config.is_catch,
        relay=_relay(context),
        mx_host=app.installation(config).mx_host,
        net=config.net,
        has_smarthost=any(one.smarthost is not None for one in config.make_egress().sources),
    )


def _relay(context: Context) -> RelayCertificate:
    config, named = context.config, context.config.submission.certificate
    return RelayCertificate(
        config.data_path / named if named else None,
        check=lambda: relay_tls(config, app.net_settings(config).ehlo_name, context.log),
        is_for_world=not _is_this_machine(config.submission.host),
    )


def _tracking(context: Context, mail: _Mail) -> list[Probe]:
    """Return what to look at of the port for tracking hosts, if there is one."""
    tracking, hosts = context.config.tracking, [one.tracking_host for one in mail.domains if one.tracking_host]
    if not tracking.tls_listen:
        return []
    folder = context.config.data_path / tracking.certificates if tracking.certificates else None
    return TrackingCheckup(folder, hosts, clock=context.clock).probes()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _filter(context: Context) -> list[Probe]:
    """Return how to look at the junk filter; nothing where there is none."""
    settings = context.config.content
    try:
        found = app.make_filter(context)
    except ConfigError as error:
        return [_said(checkup.fail(FILTER, error.public, "Change the setting that it names."))]
    if found is None:
        return []
    return ContentCheckup(settings.rspamd_url, found, when_down=settings.when_down).probes()


def _mode(config: Config) -> Check:
    name = "settings.delivery"
    if config.is_catch:
        return checkup.ok(name, "catch mode: no mail leaves this machine. OUTRIDER_DELIVERY=direct sends it.")
    return checkup.ok(name, "mail goes out through a smart host." if config.smarthost else "mail goes out.")


def _unsubscribe(config: Config, mail: _Mail) -> Check:
    """Return whether readers can unsubscribe. Of a database that cannot be read the settings alone count."""
    lacking = mail.pathless
    if not mail.domains and not config.inbound.bounce_domain:
        lacking = ["this installation"]
    return checkup_node.judge_unsubscribe(has_links=bool(config.links_root), lacking=lacking)


def _patient(config: Config) -> Config:
    """Return the settings with shorter waits for DNS: somebody sits there."""
    wait_s = min(config.net.dns_wait_s, limits.CHECKUP_DNS_WAIT_S)
    return msgspec.structs.replace(config, net=msgspec.structs.replace(config.net, dns_wait_s=wait_s))


def _said(check: Check) -> Probe:
    """Return a probe whose answer is known."""

    async def ask() -> Sequence[Check]:
        return [check]

    return Probe(check.name, ask)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise CallerError(f"{text} is no IP address.", field="address") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--report: {path} cannot be written: {error.strerror}.") from error

"""`outrider simulator`: a mail server of its own that does with each mail what its address says.

For testing code that sends mail, with Outrider or without: point it at HOST:PORT and write to `bounce@`,
`defer@`, `reply+421-4.7.28@` at simulator.outrider.test. `serve` runs one too, for mail that Outrider itself delivers.

It needs no database and no other Outrider. It listens on loopback unless `--host` says otherwise, and relays nothing;
what it sends by itself are the late answers, to one server or to the MX of the return path.
"""

import asyncio
import ipaddress
import os
import random
import signal
import sys
from typing import Annotated, Final

import typer

from outrider import app, knowledge
from outrider.app import SystemClock
from outrider.base.errors import ConfigError, OutriderError
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.config import load
from outrider.engine.service import run_all
from outrider.faces.smtp import late_mail
from outrider.faces.smtp import simulator as face
from outrider.faces.smtp.late_mail import Route
from outrider.faces.smtp.simulator import Manner, TlsFault
from outrider.net.settings import NetSettings
from outrider.obs.log import make_logger
from outrider.policy import shaping, simulate
from outrider.policy.simulate import DOMAIN, OUTCOMES, PATTERNS

BY_MX: Final = "mx"
NOWHERE: Final = "none"


def simulator(
    *,
    host: Annotated[list[str] | None, typer.Option(help="Where to listen, once or more; without it, loopback.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 2528,
    profile: Annotated[str, typer.Option(help="Whose words, where an address names none: gmail, yahoo ...")] = "",
    domain: Annotated[list[str] | None, typer.Option(help="A further domain that it answers for.")] = None,
    tls: Annotated[bool, typer.Option("--tls/--no-tls", help="Offer STARTTLS, with a certificate made now.")] = True,
    tls_fault: Annotated[TlsFault | None, typer.Option(help="What is wrong with STARTTLS.")] = None,
    rate: Annotated[str, typer.Option(help="Mails that a client may send, such as 10/s; more are refused.")] = "",
    answers_to: Annotated[str, typer.Option(help="Late answers: HOST:PORT, `mx` of the return path, or `none`.")] = "",
    answer_after: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to a late answer.")] = 0.5,
    seed: Annotated[int | None, typer.Option(help="Of the chances, so that a run can be repeated.")] = None,
    shows_list: Annotated[bool, typer.Option("--list", help="Print the addresses and what each does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a mail server that does with each mail what its address says: bounce@, defer@, slow@ ... (--list)."""
    if shows_list:
        _show_list(as_json=as_json)
        return
    try:
        known = knowledge.simulator_words().profiles
        if profile and profile not in known:
            raise ConfigError(f"There is no profile {profile!r}; there are {', '.join(known)}.")
        hosts = _hosts(host or [])
        manner = Manner(
            profile=profile,
            domains=tuple(name.lower() for name in domain or []),
            rate=shaping.parse_rate(rate) if rate else None,
            tls=face.make_tls(tls_fault) if tls else None,
            hosts=hosts,
            port=port,
            answer_after_s=answer_after,
        )
        asyncio.run(_serve(manner, answers_to, seed, as_json=as_json))
    except OutriderError as error:
        session.fail(error)


async def _serve(manner: Manner, answers_to: str, seed: int | None, *, as_json: bool) -> None:
    """Listen, say so, and serve until Ctrl-C or SIGTERM."""
    config = load(os.environ)
    log, clock, chance = make_logger(config.log, "simulator"), SystemClock(), random.Random(seed)
    net = app.net_settings(config)
    route = _route(answers_to, manner.hosts, net, clock, chance)
    server, parts = face.assemble(manner, knowledge.simulator_words(), route, net, clock=clock, random=chance, log=log)
    stop_asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_asked.set)
    try:
        await server.listen()
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {manner.hosts[0]}:{manner.port}: {error.strerror}. Choose another --port; a running"
            " `outrider serve` has a simulator of its own."
        ) from error
    if as_json:
        output.show_json({"host": manner.hosts[0], "port": server.port, "domain": DOMAIN})
    else:
        sys.stdout.write(
            f"The simulator listens on {manner.hosts[0]}:{server.port} and takes mail for {DOMAIN}.\n"
            "What each address does: outrider simulator --list. Ctrl-C stops it.\n"
        )
    sys.stdout.flush()
    await run_all(parts, stop_asked)


def _hosts(wanted: list[str]) -> tuple[str, ...]:
    """Return where to listen. Raises ConfigError if one is no IP address."""
    for host in wanted:
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise ConfigError(f"--host: {host!r} is no IP address.") from error
    return tuple(wanted) or Manner().hosts


def _route(
    answers_to: str, hosts: tuple[str, ...], net: NetSettings, clock: SystemClock, chance: random.Random
) -> Route | None:
    """Return where late answers go.

    Danger: whoever can reach the simulator chooses the return path, so one that is open to others sends nothing unless
    told where to.
    """
    is_ours_alone = all(ipaddress.ip_address(host).is_loopback for host in hosts)
    wanted = answers_to or (BY_MX if is_ours_alone else NOWHERE)
    if wanted == NOWHERE:
        return None
    if wanted != BY_MX:
        return late_mail.to_one(*simulate.parse_host_port(wanted, "--answers-to"))
    from outrider.net.dns import Resolver  # Only here is dnspython needed (10 MB).

    return Resolver(net, clock=clock, random=chance, our_names=(net.ehlo_name,)).route


def _show_list(*, as_json: bool) -> None:
    rows = [
        {"address": f"{one.name}@", "does": one.does, "outcome": f"{one.fate}: {one.reason}", "later": one.late or ""}
        for one in OUTCOMES
    ]
    rows += [{"address": f"{pattern}@", "does": does, "outcome": "", "later": ""} for pattern, does in PATTERNS.items()]
    if not as_json:
        profiles = ", ".join(knowledge.simulator_words().profiles)
        sys.stdout.write(
            f"All at {DOMAIN}. In a provider's words: bounce@gmail.{DOMAIN} or bounce+gmail@; profiles: {profiles}.\n"
            "Further +tags are yours to use.\n\n"
        )
    output.show_rows(["ADDRESS", "THE SERVER ...", "AN ATTEMPT ENDS", "LATER"], rows, empty="", as_json=as_json)

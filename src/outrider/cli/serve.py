"""`outrider serve`: start Outrider and run until Ctrl-C or SIGTERM; both end it with exit code 0.

Before anything starts it checks what would fail later: settings, another Outrider on the same data directory, ports in
use that sending needs. In catch mode it also sets up the quick start and prints a curl that works as pasted.
"""

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from outrider import app
from outrider.app import SystemClock
from outrider.base.clock import Clock
from outrider.base.errors import ConfigError, OutriderError
from outrider.cli import quickstart, session, supervisor
from outrider.cli.supervisor import ROLES, Supervisor
from outrider.config import Config, load
from outrider.database import Database, make_data_dir, open_database
from outrider.obs.log import Logger, make_logger
from outrider.services.accounts import KeyPair

_READY_WAIT_S = 60.0  # A cold start imports and connects; a crash recovery of the database has its own patience.


def serve(
    role: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(ROLES)}; may be given several times.")
    ] = None,
) -> None:
    """Start Outrider and run until Ctrl-C or SIGTERM."""
    try:
        asyncio.run(_serve(tuple(role or ROLES)))
    except OutriderError as error:
        session.fail(error)


def sink(
    arguments: Annotated[list[str] | None, typer.Argument(help="As of `python -m outrider.testing.sink`.")] = None,
) -> None:
    """Run the counting SMTP sink that tests and benchmarks deliver to: it takes everything and keeps nothing."""
    from outrider.testing import sink as testing_sink

    raise SystemExit(testing_sink.main(arguments or []))


async def _serve(roles: tuple[str, ...]) -> None:
    if unknown := set(roles) - set(ROLES):
        raise ConfigError(f"There is no role {min(unknown)!r}; there are {', '.join(ROLES)}.")
    config = load(os.environ)
    log = make_logger(config.log, "serve")
    clock = SystemClock()
    stop_asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_asked.set)
    make_data_dir(config.data_path)
    locks = await supervisor.lock_roles(config.data_path / "run", roles, clock=clock)
    _check_ports(config, roles)
    async with open_database(config, lambda sentence: log.info("database_awaited", sentence=sentence)) as database:
        pair = await _prepare(config, database, roles, log)
        slots = supervisor.slots_of(config, roles)
        parent = Supervisor(config, database, slots, locks, clock=clock, log=log)
        async with asyncio.TaskGroup() as group:
            group.create_task(parent.run(stop_asked))
            if "web" in roles and await _is_listening(config, clock, stop_asked):
                sys.stdout.write(_banner(config, pair))
                sys.stdout.flush()


async def _prepare(config: Config, database: Database, roles: tuple[str, ...], log: Logger) -> KeyPair | None:
    """Get the database ready, claim our addresses, and in catch mode make the quick start; return its key pair."""
    context = app.make_context(config, database.dsn, log)
    async with context.store() as store:
        if "deliver" in roles:  # Here, before any process of ours could send from an address of another node's.
            await app.claim_node(context, store)
        return await quickstart.ensure(app.make_services(context, store)) if config.is_catch else None


def _check_ports(config: Config, roles: tuple[str, ...]) -> None:
    """Refuse to start where nothing could be sent; what takes mail that comes back waits for its port, and says so."""
    faces = config.faces
    if "web" in roles:
        supervisor.check_port(faces.http_host, faces.http_port, "OUTRIDER_HTTP_PORT")
    if "smtp" in roles and config.is_catch:
        supervisor.check_port("127.0.0.1", faces.catch_port, "OUTRIDER_CATCH_PORT")


async def _is_listening(config: Config, clock: Clock, stop_asked: asyncio.Event) -> bool:
    """Wait until the HTTP port answers; False if we are to stop first or it never does."""
    deadline_s = clock.monotonic_s() + _READY_WAIT_S
    host = _dialled(config.faces.http_host)
    while not stop_asked.is_set() and clock.monotonic_s() < deadline_s:
        try:
            _, writer = await asyncio.open_connection(host, config.faces.http_port)
        except OSError:
            await clock.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False


def _banner(config: Config, pair: KeyPair | None) -> str:
    url = f"http://{config.faces.http_host}:{config.faces.http_port}"
    if pair is None:
        return (
            f"\nOutrider is ready: {url}  (delivery: {_masked(config)})\n{_relay(config)}\n"
            "A key pair: outrider key create\n\n"
        )
    return f"""
Outrider is ready: {url}
Every mail is delivered into the built-in mailbox: {url}/mailbox  (catch mode: nothing leaves this machine)

  access key id      {pair.access_key_id}
  access key secret  {pair.access_key_secret}

Send the first mail:

curl -X POST "{url}/api/v1/email/SendEmail" \\
  -H "Authorization: Basic $(echo -n '{pair.access_key_id}:{pair.access_key_secret}' | base64 -w0)" \\
  -H "Content-Type: application/json" \\
  -d '{{"SendEmail":"{quickstart.SENDER}","TargetEmailAddress":["user@partner.example"],
       "Subject":"Your Order Confirmation","Content":"Thank you for your order. Your order ID is #12345.",
       "FromName":"Example Shop"}}'

{_relay(config)} and what is above:

python3 -c "import smtplib; s = smtplib.SMTP('{_dialled(config.submission.host)}', {config.faces.submission_port})
s.starttls(); s.login('{pair.access_key_id}', '{pair.access_key_secret}')
s.sendmail('{quickstart.SENDER}', ['customer@partner.example'],
  'From: {quickstart.SENDER}\\nTo: customer@partner.example\\nSubject: By SMTP\\n\\nThank you for your order.\\n')"

Ctrl-C stops it.

"""


def _relay(config: Config) -> str:
    """Where programs hand in mail by SMTP, and as whom."""
    host, faces = _dialled(config.submission.host), config.faces
    ports = f"port {faces.submission_port} (STARTTLS) or {faces.submissions_port} (TLS)"
    return f"By SMTP: host {host}, {ports}, user and password: access key id and secret"


def _dialled(host: str) -> str:
    """What a program on this machine dials to reach who listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _masked(config: Config) -> str:
    """The delivery setting without its password."""
    smarthost = config.smarthost
    return config.delivery if smarthost is None else f"smarthost {smarthost.host}:{smarthost.port}"

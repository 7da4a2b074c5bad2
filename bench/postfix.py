"""Postfix and OpenDKIM as an ordinary relay on high ports of loopback: for comparison, where this machine has both.

    async with running_relay(folder, sink_port) as port: ...    # takes mail at 127.0.0.1:port, signs, hands to the sink

Their own defaults but for names, ports and folders; RSA-2048. Nothing of the system's own Postfix is read or written:
configuration, queue and log are in `folder`. Root alone can run it, since Postfix drops its privileges itself. Both run
in the foreground as our children and end with the block.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.testing import usage
from outrider.testing.clock import RealClock
from outrider.testing.program import free_ports

HOST: Final = "127.0.0.1"
PROGRAMS: Final = ("postfix", "postconf", "opendkim")
_START_S: Final = 20.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.05

_OPENDKIM: Final = """\
Mode s
Domain {domain}
Selector r1
KeyFile {folder}/r1.private
Socket inet:{milter}@127.0.0.1
InternalHosts 127.0.0.0/8
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
RequireSafeKeys no
Syslog no
Background no
"""
_MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtpd_milters = inet:127.0.0.1:{milter}
milter_default_action = tempfail
alias_maps =
alias_database =
"""
# What somebody writes whose Postfix is to send through a relay (docs/howto/smtp-relay.md).
_SASL: Final = """\
smtpd_milters =
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{folder}/sasl
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = encrypt
"""
# service, type, private, unpriv, chroot, wakeup, maxproc, command: as Postfix ships it, without chroot and local mail.
_MASTER: Final = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str:
    """Return why this machine cannot run it; "" if it can."""
    lacks = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacks:
        return f"not installed: {', '.join(lacks)}"
    return "" if os.geteuid() == 0 else "needs root"


@contextlib.asynccontextmanager
async def running_client(folder: Path, relay_port: int, pair: str) -> AsyncIterator[int]:
    """Run a Postfix that hands everything to the relay at that port, over STARTTLS with SASL; give its own port.

    Raises:
        RuntimeError: it did not start; the text has the end of its log.
    """
    (port,) = free_ports(1)
    _make_folders(folder)
    values = {"folder": folder, "domain": "", "milter": 0, "port": port, "sink": relay_port}
    (folder / "sasl").write_text(f"[{HOST}]:{relay_port} {pair}\n")
    (folder / "postfix" / "main.cf").write_text(_MAIN.format(**values) + _SASL.format(**values))
    (folder / "postfix" / "master.cf").write_text(_MASTER.format(**values))
    async with _running("postfix", "-c", str(folder / "postfix"), "start-fg", log=folder / "postfix.log"):
        await _until_open(port, folder / "postfix.log")
        yield port


@contextlib.asynccontextmanager
async def running_relay(folder: Path, sink_port: int, *, domain: str) -> AsyncIterator[tuple[int, list[int]]]:
    """Run both; give the port that takes mail, and their process ids (children are theirs).

    Raises:
        RuntimeError: one did not start; the text has the end of its log.
    """
    port, milter = free_ports(2)
    _write(folder, {"folder": folder, "domain": domain, "milter": milter, "port": port, "sink": sink_port})
    async with _running("opendkim", "-f", "-x", str(folder / "opendkim.conf"), log=folder / "opendkim.log") as signer:
        await _until_open(milter, folder / "opendkim.log")
        command = ("postfix", "-c", str(folder / "postfix"), "start-fg")
        async with _running(*command, log=folder / "postfix.log") as relay:
            await _until_open(port, folder / "postfix.log")
            yield port, [signer, relay]


def _write(folder: Path, values: dict[str, object]) -> None:
    _make_folders(folder)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "r1.private").write_bytes(pem)
    (folder / "opendkim.conf").write_text(_OPENDKIM.format(**values))
    (folder / "postfix" / "main.cf").write_text(_MAIN.format(**values))
    (folder / "postfix" / "master.cf").write_text(_MASTER.format(**values))


def _make_folders(folder: Path) -> None:
    folder.chmod(0o755)  # Its processes run as a user of their own.
    for name in ("postfix", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix", "postfix")


@contextlib.asynccontextmanager
async def _running(*command: str, log: Path) -> AsyncIterator[int]:
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield child.pid
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Ask it and those it started to end, then make them."""
    theirs = usage.family(child.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in theirs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await child.wait()
                for pid in theirs:
                    await asyncio.to_thread(usage.wait_gone, pid, _STOP_S)
                return


async def _until_open(port: int, log: Path) -> None:
    clock = RealClock()
    try:
        async with asyncio.timeout(_START_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    return
                await clock.sleep(_POLL_S)
    except TimeoutError as error:
        mail_log = log.with_name("mail.log")
        logs: Sequence[Path] = [one for one in (log, mail_log) if one.exists()]
        tail = "\n".join(one.read_text("utf-8", "replace")[-2000:] for one in logs)
        raise RuntimeError(f"nobody listens at port {port}:\n{tail}") from error

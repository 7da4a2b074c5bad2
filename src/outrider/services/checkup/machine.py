"""Looks at this machine: the data directory, the ports that should listen, the certificates, TLS on the way out.

A port is called as a client would, and left at once; of a role that does not run here, to see whether somebody else is
in its place. Certificates are loaded as their faces do, so that what these would stumble over is said here.
Nothing is written. What the figures mean is judged by `policy.checkup_node`.
"""

import shutil
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import ConfigError
from outrider.net import certificate, probe
from outrider.net.settings import NetSettings
from outrider.net.tls import TlsContexts
from outrider.policy import checkup, checkup_node
from outrider.policy.checkup import Check
from outrider.policy.checkup_node import CertificateFigures
from outrider.services.checkup.run import Probe
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

_OF_WORLD: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # Where a face that listens for everybody is called.
_STATUS_OK: Final = 200


class Port(msgspec.Struct, frozen=True):
    """A port that a role of this node listens on."""

    name: str  # "ports.http".
    host: str
    port: int
    setting: str
    is_expected: bool  # The role runs.
    is_http: bool = False
    speaks_tls: bool = False  # From the first octet.


class RelayCertificate(msgspec.Struct, frozen=True):
    """The certificate of the SMTP relay."""

    path: Path | None  # None: the one it makes itself.
    check: Callable[[], object]  # Loads it as the relay does; raises ConfigError. Not called without a path.
    is_for_world: bool  # It listens to more than this machine.


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What of this machine is looked at."""

    data_path: Path
    ports: Sequence[Port]
    certificate_path: Path | None
    check_certificate: Callable[[], object]  # Loads it as the inbound face does; raises ConfigError.
    wants_certificate: bool  # Mail comes back from the world.
    relay: RelayCertificate
    mx_host: str
    net: NetSettings
    has_smarthost: bool


class MachineCheckup:
    """Looks at one machine."""

    def __init__(self, machine: Machine, *, clock: Clock) -> None:
        self._machine: Final = machine
        self._clock: Final = clock

    def probes(self) -> list[Probe]:
        """Return what there is to look at."""
        tls = TlsContexts(self._machine.net).of(TlsMode.OPPORTUNISTIC)  # Whoever is there: certificates are below.
        ports = [Probe(port.name, _PortLook(port, tls).look) for port in self._machine.ports]
        return [
            Probe("settings.data_dir", self._data_dir),
            *ports,
            Probe("tls.certificate", self._certificate),
            Probe("tls.submission", self._relay_certificate),
            Probe("tls.outgoing", self._outgoing),
        ]

    async def _data_dir(self) -> Sequence[Check]:
        path = self._machine.data_path
        try:
            usage = shutil.disk_usage(path)
            mode = path.stat().st_mode & 0o777
        except OSError as error:
            advice = "Make it, for Outrider's user alone, or set OUTRIDER_DATA_DIR."
            return [checkup.fail("settings.data_dir", f"{path} cannot be used: {error.strerror}.", advice)]
        if mode & 0o077:
            seen = f"{path} can be entered by others (mode {mode:o}): it holds keys."
            access = checkup.warn("settings.data_dir", seen, f"chmod 700 {path}")
        else:
            access = checkup.ok("settings.data_dir", f"{path}, for its owner alone.")
        return [access, checkup_node.judge_disk(str(path), usage.free, usage.total)]

    async def _certificate(self) -> Sequence[Check]:
        name, path = "tls.certificate", self._machine.certificate_path
        if path is None:
            if not self._machine.wants_certificate:
                return [checkup.skip(name, "no mail comes back from outside, so nobody needs one.")]
            advice = "Get one for the MX host, and name the PEM file: OUTRIDER_INBOUND__CERTIFICATE=mx.pem."
            return [checkup.warn(name, "there is none: mail comes back in the clear.", advice)]
        try:
            self._machine.check_certificate()
            figures = _figures_of(path)
        except (ConfigError, OSError) as error:
            return [checkup.fail(name, str(error), "Put certificate and key into one PEM file that Outrider may read.")]
        return checkup_node.judge_certificate(figures, self._machine.mx_host, self._clock.now())

    async def _relay_certificate(self) -> Sequence[Check]:
        name, relay = "tls.submission", self._machine.relay
        if relay.path is None:
            if not relay.is_for_world:
                return [checkup.ok(name, "the relay's own, signed by itself; it listens to this machine alone.")]
            advice = "Get one, and name its PEM file: OUTRIDER_SUBMISSION__CERTIFICATE=relay.pem."
            return [checkup.warn(name, "the relay's own, signed by itself: programs that check refuse it.", advice)]
        try:
            relay.check()
            figures = _figures_of(relay.path)
        except (ConfigError, OSError) as error:
            advice = "Put it where Outrider may read it, with its key, or name that as [submission] private_key."
            return [checkup.fail(name, str(error), advice)]
        return [checkup_node.judge_relay_certificate(figures, self._clock.now())]

    async def _outgoing(self) -> Sequence[Check]:
        name, net = "tls.outgoing", self._machine.net
        context = TlsContexts(net).of(TlsMode.REQUIRED)
        if not net.tls_verify:
            seen = "certificates are not checked where TLS is required ([net] tls_verify)."
            if self._machine.has_smarthost:
                advice = "Set OUTRIDER_NET__TLS_VERIFY=true: now anybody on the way can pose as the smart host."
                return [checkup.warn(name, seen, advice)]
            return [checkup.ok(name, f"{seen} Nothing requires it now.")]
        if not _has_authorities(context):
            advice = "Install them: apt-get install ca-certificates."
            return [checkup.fail(name, "this machine knows no certificate authority.", advice)]
        return [checkup.ok(name, f"{ssl.OPENSSL_VERSION}, certificates are checked where TLS is required.")]


def _figures_of(path: Path) -> CertificateFigures | None:
    terms = certificate.terms_of(path.read_bytes())
    return None if terms is None else msgspec.convert(terms, CertificateFigures, from_attributes=True)


class _PortLook:
    def __init__(self, port: Port, tls: ssl.SSLContext) -> None:
        self._port: Final = port
        self._tls: Final = tls

    async def look(self) -> Sequence[Check]:
        port = self._port
        host = _OF_WORLD.get(port.host, port.host)
        at, wait_s = f"{port.host}:{port.port}", limits.CHECKUP_DIAL_WAIT_S
        answer: str | int | Answer
        if port.is_http:
            answer = await probe.http_status(host, port.port, "/readyz", wait_s=wait_s)
        else:
            answer = await probe.greeting(host, port.port, wait_s=wait_s, tls=self._tls if port.speaks_tls else None)
        if not port.is_expected:
            if isinstance(answer, Answer) and answer.phase == "connect":
                return [checkup.skip(port.name, f"`outrider serve` does not run on this data directory; {at} is free.")]
            advice = f"End it, or set {port.setting} before you start Outrider."
            return [checkup.warn(port.name, f"Outrider does not run here, and somebody listens on {at}.", advice)]
        if isinstance(answer, Answer):
            seen = f"nobody answers on {at} ({answer.cause}), though the role runs."
            return [checkup.fail(port.name, seen, f"Look at the log; is {port.setting} right, and the port free?")]
        if answer == _STATUS_OK or (isinstance(answer, str) and answer.startswith("220")):
            return [checkup.ok(port.name, f"answers on {at}.")]
        seen = f"{at} answers {answer}."
        return [checkup.fail(port.name, seen, "Look at the log: it is not ready to work.")]


def _has_authorities(context: ssl.SSLContext) -> bool:
    """Whether there is any to trust: read already, or in a directory where they are looked up when needed."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = Path(ssl.get_default_verify_paths().openssl_capath)
    return folder.is_dir() and any(folder.iterdir())

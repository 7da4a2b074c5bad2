"""TLS certificates of our own receivers: from files, read again when they change; self-signed where there are none.

    Certificate     one pair of files. Its `context` is the same object for ever: what is loaded later holds for the
                    handshakes that begin after that
    load, stamp_of  for who holds several (`host_certificates`)

A new certificate that cannot be used is said in the log, and the old one stays: renewing is a matter of two files, and
may be seen half done. A key with a password cannot be used: nobody is there to type it.
"""

import os
import ssl
from pathlib import Path
from typing import Final

from outrider.base.errors import ConfigError
from outrider.net.selfsigned import SelfSigned
from outrider.obs.log import Logger

SELF_SIGNED_NAME: Final = "submission.pem"
Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate in use."""

    def __init__(self, certificate: Path, private_key: Path | None, *, setting: str, log: Logger) -> None:
        """Raise ConfigError: it cannot be used. `private_key` None: in the same file. `setting` names the file."""
        self._certificate: Final = certificate
        self._private_key: Final = private_key or certificate
        self._setting: Final = setting
        self._log: Final = log
        self._stamp = self._look()
        try:
            self.context: Final = load(certificate, self._private_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{setting}: {certificate} cannot be used: {error}.") from error
        self._newest = self.context
        self.context.sni_callback = self._choose

    def refresh(self) -> None:
        """Load the files again if they have changed. Cost: a stat for each."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # A context of its own: one that had a key of another kind (RSA beside EC) would offer both.
            self._newest = load(self._certificate, self._private_key)
        except (OSError, ssl.SSLError) as error:
            self._log.error("certificate_not_loaded", reason=str(error), setting=self._setting)
            return
        self._log.info("certificate_loaded", setting=self._setting)

    def _choose(self, connection: ssl.SSLObject, _host: str, _context: ssl.SSLContext) -> None:
        """Go on with the newest; asked in each handshake, whether it names a host or not."""
        connection.context = self._newest

    def _look(self) -> Stamp:
        return stamp_of(self._certificate, self._private_key)


def load(certificate: Path, private_key: Path) -> ssl.SSLContext:
    """Return a server's context with this certificate. Raises OSError, ssl.SSLError: it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key, password="")  # Else OpenSSL would ask at the terminal.
    return context


def stamp_of(*paths: Path) -> Stamp:
    """Return what changes with the files; of one that is gone, nothing. Cost: a stat for each."""
    found = []
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            found.append((0, 0, 0))
            continue
        found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


def self_signed(folder: Path, host_name: str) -> Path:
    """Return the file of the self-signed certificate, made now if there is none. Nobody else can read it."""
    path = folder / SELF_SIGNED_NAME
    if not path.exists():
        made = path.with_suffix(".new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(SelfSigned(host_name).key_and_pem)
        made.replace(path)
    return path

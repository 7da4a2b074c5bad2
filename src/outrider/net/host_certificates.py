"""The certificates of many hosts behind one port: from a folder, chosen by the name that a client asks for (SNI).

    FOLDER/t.shop.example.crt, t.shop.example.key        as lego writes them
    FOLDER/t.shop.example/fullchain.pem, privkey.pem     as certbot does
    FOLDER/default.crt, default.key                      for who asks for no name, or another; else self-signed

Whom a certificate is for it says itself, with a star too; what its files are called does not matter. Of two for one
name the one that ends later counts. `refresh` sees what came, changed or went; a certificate that cannot be used is
said in the log once, and the one that was there stays. Each load makes a context of its own: in an old one the key of
another kind (RSA beside EC) would stay.
"""

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from outrider.base import limits
from outrider.base.errors import ConfigError
from outrider.net import certificate, pem_files
from outrider.net.certificate import Terms
from outrider.net.pem_files import Stamp
from outrider.net.selfsigned import SelfSigned
from outrider.obs.log import Logger

_DEFAULT: Final = "default"
_SETTING: Final = "tracking.certificates"
_T = TypeVar("_T")


class Pair(msgspec.Struct, frozen=True):
    """Where a certificate and its key are."""

    name: str
    certificate: Path
    private_key: Path


class _Held(msgspec.Struct, frozen=True):
    """What is in use of a pair."""

    stamp: Stamp  # Of the files as they were last looked at, whether they could be used or not.
    context: ssl.SSLContext | None  # None: they never could.
    terms: Terms | None


class HostCertificates:
    """The certificates of a folder."""

    def __init__(self, folder: Path | None, *, log: Logger) -> None:
        """Load them; blocks. Raise ConfigError: the folder cannot be read. None: there is the self-signed one alone."""
        self._folder: Final = folder
        self._log: Final = log
        self._held: Mapping[str, _Held] = {}
        self._by_name: Mapping[str, ssl.SSLContext] = {}
        self._is_readable = True
        self.context: Final = _speaking(SelfSigned("localhost").context)
        """What a port listens with; the same for ever."""
        self.context.sni_callback = self._choose
        try:
            self._read(list(pairs_in(folder)) if folder else [])
        except OSError as error:
            raise ConfigError(f"{_SETTING}: {folder} cannot be read: {error}.") from error

    def refresh(self) -> None:
        """Load what came or changed, forget what went. Blocks: for a thread, beside handshakes on the loop.

        Cost: a look into the folder, two stats a pair.
        """
        if self._folder is None:
            return
        try:
            self._read(list(pairs_in(self._folder)))
            self._is_readable = True
        except OSError as error:  # What was loaded stays in use.
            if self._is_readable:
                self._log.error("certificates_not_read", reason=str(error), setting=_SETTING)
            self._is_readable = False

    def _read(self, pairs: list[Pair]) -> None:
        held = {pair.name: self._look(pair) for pair in pairs[: limits.HOST_CERTIFICATES_COUNT_MAX]}
        if held == self._held:
            return
        if len(pairs) > len(held):
            self._log.error("certificates_left_out", count=len(pairs) - len(held), setting=_SETTING)
        self._held, self._by_name = held, _named(held)

    def _look(self, pair: Pair) -> _Held:
        held, stamp = self._held.get(pair.name), pem_files.stamp_of(pair.certificate, pair.private_key)
        if held is not None and held.stamp == stamp:
            return held
        try:
            context = _speaking(pem_files.load(pair.certificate, pair.private_key))
            terms = certificate.terms_of(pair.certificate.read_bytes())
        except (OSError, ssl.SSLError) as error:
            self._log.error("certificate_not_loaded", reason=str(error), setting=_SETTING, file=pair.name)
            return _Held(stamp, held.context if held else None, held.terms if held else None)
        self._log.info("certificate_loaded", setting=_SETTING, file=pair.name, names=terms.names if terms else ())
        return _Held(stamp, context, terms)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Answer OpenSSL, in the midst of a handshake: this must not raise."""
        chosen = of_host(self._by_name, name or "") or self._by_name.get("")
        if chosen is not None:
            connection.context = chosen


def pairs_in(folder: Path) -> Iterator[Pair]:
    """Give the pairs of files in a folder, by name. Raises OSError."""
    with os.scandir(folder) as entries:
        is_folder = {entry.name: entry.is_dir() for entry in entries}
    for name in sorted(is_folder):
        if is_folder[name]:
            pair = Pair(name, folder / name / "fullchain.pem", folder / name / "privkey.pem")
            if pair.certificate.exists() and pair.private_key.exists():
                yield pair
        elif name.endswith(".crt") and (key := f"{name.removesuffix('.crt')}.key") in is_folder:
            yield Pair(name.removesuffix(".crt"), folder / name, folder / key)  # lego's `.issuer.crt` has no key.


class Seen(msgspec.Struct, frozen=True):
    """What is in a folder."""

    terms: Mapping[str, Terms]  # By the names in them, of those that can be used.
    faults: Mapping[str, str]  # Why others cannot, by their file.


def look_into(folder: Path) -> Seen:
    """Return what the certificates in a folder say. Raises OSError: the folder cannot be read."""
    usable: list[tuple[str, Terms, Terms]] = []
    faults: dict[str, str] = {}
    for pair in pairs_in(folder):
        try:
            pem_files.load(pair.certificate, pair.private_key)
            terms = certificate.terms_of(pair.certificate.read_bytes())
        except (OSError, ssl.SSLError) as error:
            faults[pair.name] = str(error)
            continue
        if terms is not None:
            usable.append((pair.name, terms, terms))
    return Seen(_latest(usable), faults)


def of_host(known: Mapping[str, _T], host: str) -> _T | None:
    """Return what is known of the certificate for a host, by its name or one with a star; None: there is none."""
    host = host.lower().removesuffix(".")
    return known.get(host) or known.get(f"*.{host.partition('.')[2]}")  # A star is a first label. RFC 6125 §6.4.3.


def _named(held: Mapping[str, _Held]) -> Mapping[str, ssl.SSLContext]:
    return _latest((file, one.terms, one.context) for file, one in held.items() if one.context is not None)


def _latest(found: Iterable[tuple[str, Terms | None, _T]]) -> Mapping[str, _T]:
    """Return what counts for each name: of several, what ends last."""
    latest: dict[str, tuple[datetime, _T]] = {}
    for file, terms, what in found:
        names = [name.lower() for name in terms.names] if terms else []
        ends_at = terms.ends_at if terms else datetime.min.replace(tzinfo=UTC)
        for name in [*names, ""] if file == _DEFAULT else names:
            if name not in latest or latest[name][0] < ends_at:
                latest[name] = ends_at, what
    return {name: what for name, (_, what) in latest.items()}


def _speaking(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context

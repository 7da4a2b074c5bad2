"""In which country an address is, as a file in MaxMind's format says: no question leaves this machine.

Of the file only the country's two letters are used; files of MaxMind, DB-IP and IPinfo have them in places of their
own. It is read again when it changes; one that cannot be read is said in the log once, and the old one stays. Without a
file nobody knows.

What is mapped is a copy in the system's folder for such things, without a name: a file that somebody writes into while
it is mapped would end the process (SIGBUS). The copies of several processes take room on disk, and no memory.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import maxminddb
from maxminddb import InvalidDatabaseError, Reader

from outrider.net import pem_files
from outrider.net.pem_files import Stamp
from outrider.obs.log import Logger

_CODE_CHARS: Final = 2  # ISO 3166-1 alpha-2.


class CountryFile:
    """A file, as it is now."""

    def __init__(self, path: Path, *, log: Logger) -> None:
        """Nothing is read before the first `refresh`."""
        self._path: Final = path
        self._log: Final = log
        self._stamp: Stamp = ()
        self._reader: Reader | None = None

    def refresh(self) -> None:
        """Read the file if it has changed. Blocks while it is copied: for a thread."""
        stamp = pem_files.stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            with tempfile.NamedTemporaryFile(prefix="outrider-country-") as copy, self._path.open("rb") as file:
                shutil.copyfileobj(file, copy)
                copy.flush()
                self._reader = maxminddb.open_database(copy.name)
        except (OSError, InvalidDatabaseError) as error:
            self._log.error("country_file_not_read", reason=str(error), setting="tracking.country_file")
            return
        self._log.info("country_file_read", made_at=self._reader.metadata().build_epoch)

    def of(self, ip: str) -> str:
        """Return the two letters of the country, "" if nobody knows. Cost: 1 us (2026-11-28; in C)."""
        reader = self._reader
        if reader is None:
            return ""
        try:
            return _country(reader.get(ip))
        except (ValueError, InvalidDatabaseError):  # No address; one of the kind that the file has not; a broken file.
            return ""


def _country(record: object) -> str:
    """Return the country of a record: where the address is used, else whose it is."""
    if not isinstance(record, Mapping):
        return ""
    for name in ("country", "registered_country", "country_code"):
        found = record.get(name)
        code = found.get("iso_code") if isinstance(found, Mapping) else found
        if isinstance(code, str) and len(code) == _CODE_CHARS and code.isascii() and code.isalpha():
            return code.upper()
    return ""

"""The master keys: where an installation has them, and how another one comes in front.

    [master_key] in the settings    where
    ""                              the file master.key in the data directory, made when it is first needed
    "file:PATH"                     that file, relative to the data directory; it must be there
    "env:NAME"                      an environment variable

    k1 2026-11-20 BASE64        one line a key, in a variable also with ; between them: what seals now comes first,
    k1 - BASE64                 all of them open. The day is when it came, - for the first one. `k1` is the form.

A file of 32 octets is one key too: so the first one is made. An old copy of the file opens an old copy of the database,
and nothing of a later one once all is sealed anew.

A file is replaced whole, on the disk before it has its name, so that a crash leaves the old one or the new one. A file
that is gone while we run changes nothing: what was read before goes on (`store.vault`).
"""

import base64
import binascii
import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from outrider.base.errors import ConfigError

KEY_BYTES: Final = 32
FILE_NAME: Final = "master.key"
_FORM: Final = "k1"
_FILE_BYTES_MAX: Final = 65_536  # Ours: a thousand keys.


class MasterKey(msgspec.Struct, frozen=True):
    """One key. Its repr does not show it."""

    octets: bytes
    made_on: date | None = None  # When it came; None: the first one.

    def __repr__(self) -> str:
        return f"MasterKey(made_on={self.made_on})"


class Stamp(msgspec.Struct, frozen=True):
    """What tells one content of a key file from the next."""

    inode: int
    changed_ns: int
    size_bytes: int


class KeySource:
    """The keys of one installation, from a file or from a text. Made by `find`."""

    def __init__(self, name: str, *, path: Path | None = None, text: str = "", is_made: bool = False) -> None:
        """`name` is for complaints; `is_made`: a file that is missing is made."""
        self.name: Final = name
        self.path: Final = path  # None: not a file, so it cannot be changed from here.
        self._text: Final = text
        self._is_made: Final = is_made

    def read(self) -> Sequence[MasterKey]:
        """Return all keys, the one that seals first.

        Raises:
            ConfigError: they cannot be read, or are none.
        """
        if self.path is None:
            return _parse(self._text.encode(), self.name)
        try:
            if self._is_made and not self.path.exists():
                _create(self.path)
            with self.path.open("rb") as file:
                content = file.read(_FILE_BYTES_MAX)
        except OSError as error:
            raise ConfigError(f"{self.name} cannot be used: {error.strerror}.") from error
        return _parse(content, self.name)

    def stamp(self) -> Stamp | None:
        """Return what is another one when the keys are; None: they never change.

        Raises:
            ConfigError: the file is not there.

        Cost: a stat.
        """
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError as error:
            raise ConfigError(f"{self.name} cannot be used: {error.strerror}.") from error
        return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)

    def add(self, today: date) -> MasterKey:
        """Make a key and put it before the others. Safe from several processes at once.

        Raises:
            ConfigError: the keys are not in a file, or it cannot be changed.
        """
        key = new_key(today)
        with self._locked() as path:
            _replace(path, [key, *self.read()], self.name)
        return key

    def drop(self, unwanted: Sequence[MasterKey]) -> None:
        """Take keys out of the file, never the first. Raises ConfigError as `add` does."""
        with self._locked() as path:
            first, *older = self.read()
            gone = {key.octets for key in unwanted}
            _replace(path, [first, *(key for key in older if key.octets not in gone)], self.name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Path]:
        """Let nobody else change the file meanwhile; yield where it really is."""
        if self.path is None:
            raise ConfigError(f"{self.name} cannot be changed from here; `outrider vault make` prints a key for it.")
        try:
            path = self.path.resolve(strict=True)
            directory = os.open(path.parent, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(f"{self.name} cannot be changed: {error.strerror}.") from error
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(directory)


def find(reference: str, data_path: Path, env: Mapping[str, str]) -> KeySource:
    """Return where `reference`, the setting [master_key], says that the keys are.

    Raises:
        ConfigError: it is no reference, or there is no such variable. Says nothing of its value: it may be a key.
    """
    kind, _, rest = reference.partition(":")
    if not reference:
        path = data_path / FILE_NAME
        return KeySource(f"The master key file {path}", path=path, is_made=True)
    if kind == "file" and rest:
        path = data_path / Path(rest).expanduser()
        return KeySource(f"The master key file {path}", path=path)
    if kind == "env" and rest:
        if rest not in env:
            raise ConfigError(f"master_key names the environment variable {rest}, which is not set.")
        return KeySource(f"The environment variable {rest}", text=env[rest])
    raise ConfigError("master_key says where the key is: file:PATH or env:NAME.")


def new_key(today: date) -> MasterKey:
    """Make a key."""
    return MasterKey(os.urandom(KEY_BYTES), today)


def write_line(key: MasterKey) -> str:
    """Return the line of a key, without a line end."""
    return f"{_FORM} {key.made_on or '-'} {base64.b64encode(key.octets).decode('ascii')}"


def _parse(content: bytes, name: str) -> Sequence[MasterKey]:
    if len(content) == KEY_BYTES:
        return [MasterKey(content)]
    lines = content.replace(b";", b"\n").split(b"\n")
    try:
        keys = [_parse_line(line.decode("ascii").split()) for line in lines if line.strip()]
    except ValueError:
        keys = []
    if not keys or len({key.octets for key in keys}) < len(keys):
        raise ConfigError(
            f"{name} is not a key: it must hold {KEY_BYTES} octets, or lines such as `outrider vault make` prints,"
            " each another one."
        )
    return keys


def _parse_line(words: Sequence[str]) -> MasterKey:
    """Raises ValueError."""
    form, day, encoded = words
    try:
        octets = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if form != _FORM or len(octets) != KEY_BYTES:
        raise ValueError
    return MasterKey(octets, None if day == "-" else date.fromisoformat(day))


def _create(path: Path) -> None:
    """Make the first key, unless another process is quicker."""
    draft = _write_draft(path, os.urandom(KEY_BYTES))
    try:
        os.link(draft, path)  # Fails if another process was first; then its key counts.
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _replace(path: Path, keys: Sequence[MasterKey], name: str) -> None:
    """Write the file anew. It keeps its owner: root may change what another user's server reads."""
    content = "".join(f"{write_line(key)}\n" for key in keys).encode("ascii")
    try:
        before = path.stat()
        draft = _write_draft(path, content)
        try:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(draft, before.st_uid, before.st_gid)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise ConfigError(f"{name} cannot be changed: {error.strerror}.") from error


def _write_draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        written = os.write(descriptor, content)
        assert written == len(content)
        os.fsync(descriptor)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return draft


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

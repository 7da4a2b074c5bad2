"""Run a program of PostgreSQL, which refuses to run as root, for somebody who is root.

No user is created and no directory's permission is loosened. The program runs as an existing unprivileged user, and
where the kernel allows it keeps the one right to search and read what root may: its own files, the data directory's
parents and the package may then all lie under a home that is closed to everybody else.

    we, root --posix_spawn--> this file as a script, root --execve--> postgres, as that user

It is a script of its own because the change must happen between the two, in one thread that holds no locks; it imports
nothing of ours and runs as `python -I -S`, so it starts in 20 ms and without an installed package.

Danger: a server that may read every file is as mighty as its superuser. So only root may reach its socket: the
directory above it is root's, mode 0700 (`store.cluster.socket_dir`), and a data directory that is not root's gets a
server without that right.

Sources: capabilities(7), "Ambient capability set"; prctl(2); capget(2).
"""

import contextlib
import ctypes
import os
import pwd
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

USERS: Final = ("outrider", "postgres", "nobody")  # The first that exists runs the server.
EXIT_NOT_POSSIBLE: Final = 126  # As a shell says: found, but could not be run.

_CAP_DAC_OVERRIDE: Final = 1  # linux/capability.h, as all below.
_CAP_DAC_READ_SEARCH: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h, as all below.
_PR_SET_KEEPCAPS: Final = 8
_PR_GET_SECUREBITS: Final = 27
_PR_SET_SECUREBITS: Final = 28
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_IS_SET: Final = 1
_PR_CAP_AMBIENT_RAISE: Final = 2
_SECBIT_NO_SETUID_FIXUP: Final = 1 << 2  # linux/securebits.h, as below.
_SECBIT_NO_CAP_AMBIENT_RAISE: Final = 1 << 6


class Account(NamedTuple):
    """A user of the system."""

    uid: int
    gid: int


def accounts() -> list[Account]:
    """Return the unprivileged users that may run the server, the best first, empty if the system has none."""
    found = []
    for name in USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                found.append(Account(entry.pw_uid, entry.pw_gid))
    return found


def known_account(uid: int) -> Account | None:
    """Return the account with this number, None if this system has none: initdb needs to know its name."""
    try:
        return Account(uid, pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return None


def kept_capabilities(program: Path) -> tuple[int, ...]:
    """Return the rights that `program` needs to reach its files, empty where the kernel would not let it keep them.

    To search and to read is enough. Containers that lack that right have the greater one to override, which running a
    program that only root may run takes in any case.
    """
    needed = {_CAP_DAC_READ_SEARCH if _can_keep(_CAP_DAC_READ_SEARCH) else _CAP_DAC_OVERRIDE}
    if not program.stat().st_mode & stat.S_IXOTH:
        needed.add(_CAP_DAC_OVERRIDE)
    return tuple(sorted(needed)) if all(map(_can_keep, needed)) else ()


def wrap(
    command: Sequence[str], account: Account | None, *, capabilities: Sequence[int] = (), dies_with_us: bool = False
) -> list[str]:
    """Return the command that runs `command` as `account` with these rights; None stays who we are.

    With `dies_with_us` it gets a SIGQUIT when the process, exactly: the thread, that starts it ends. For tests.
    """
    if account is None and not dies_with_us:
        return list(command)
    return [
        *(sys.executable, "-I", "-S", __file__),
        f"{account.uid}:{account.gid}" if account else "",
        ",".join(map(str, capabilities)),
        str(os.getpid()) if dies_with_us else "",
        *command,
    ]


def main(arguments: Sequence[str]) -> NoReturn:
    """Become who the arguments say and turn into the command behind them; see `wrap`."""
    account, capabilities, parent, *command = arguments
    try:
        if account:
            uid, _, gid = account.partition(":")
            _become(Account(int(uid), int(gid)), [int(number) for number in capabilities.split(",") if number])
        if parent:
            _die_with(int(parent))
        os.umask(0o077)
        os.chdir("/")
        os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose.
    except OSError as error:
        sys.stderr.write(f"outrider: cannot run {command[0]} as {account or 'this user'}: {error}\n")
        sys.exit(EXIT_NOT_POSSIBLE)


def _become(account: Account, capabilities: Sequence[int]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if capabilities:
        _prctl(libc, _PR_SET_KEEPCAPS, 1)
        # PostgreSQL asks access(2) whether its programs can be run, which forgets capabilities but for this bit. Where
        # we may not set it, a package that all may reach still works.
        with contextlib.suppress(OSError):
            _prctl(libc, _PR_SET_SECUREBITS, _prctl(libc, _PR_GET_SECUREBITS) | _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if capabilities:
        _set_capabilities(libc, sum(1 << number for number in capabilities))
        for number in capabilities:
            _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)
    if sys.platform == "linux":
        _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)


def _die_with(parent: int) -> None:
    # After the change of user, which clears it.
    _prctl(ctypes.CDLL(None, use_errno=True), _PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != parent:
        raise OSError("our parent died first")


def _set_capabilities(libc: ctypes.CDLL, mask: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low = [mask, mask, mask]  # Effective, permitted, inheritable; the high words follow.
    if libc.capset(header, (ctypes.c_uint32 * 6)(*low, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def _prctl(libc: ctypes.CDLL, *numbers: int) -> int:
    padded = [ctypes.c_ulong(number) for number in (*numbers, 0, 0, 0)[1:5]]
    result: int = libc.prctl(ctypes.c_int(numbers[0]), *padded)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"prctl {numbers[0]}: {os.strerror(ctypes.get_errno())}")
    return result


def _can_keep(capability: int) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_IS_SET, capability)
        is_forbidden = _prctl(libc, _PR_GET_SECUREBITS) & _SECBIT_NO_CAP_AMBIENT_RAISE
    except OSError:
        return False
    status = Path("/proc/self/status").read_text("ascii")
    (permitted,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapPrm:")]
    return not is_forbidden and bool(int(permitted, 16) >> capability & 1)


if __name__ == "__main__":
    main(sys.argv[1:])

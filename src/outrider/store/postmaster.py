"""The server as processes of the system: start it detached, find it again, tell it from a stranger, stop it.

PostgreSQL writes its process number into postmaster.pid. After a crash that file is a rumour: the number may be free,
belong to a stranger, or to a zombie that nobody buried, and the server's children may outlive it and keep its shared
memory. PostgreSQL itself then refuses to start; the functions here tell these cases apart.

| postmaster.pid names      | and                    | it means                                    |
|---------------------------|------------------------|---------------------------------------------|
| nothing, or is garbled    | -                      | no server; the file may go                  |
| a process that is gone    | children may live      | no server; end the children, then start     |
| a zombie                  | its parent is us       | no server; bury it                          |
| another program           | -                      | no server; the file may go                  |
| `postgres` on our cluster | -                      | our server, whoever started it              |

On Linux /proc says who a process is. Elsewhere `ps` names the program, and children are not looked for: they end by
themselves at their next idle moment.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_IS_LINUX: Final = sys.platform == "linux"
_PROC: Final = Path("/proc")
_ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # Nothing of PG*.
_LOCK_FD: Final = 3  # The first behind stderr; all our own are closed in a child.
_ENDED_UNSEEN: Final = -1  # Somebody else buried it.


def spawn(command: list[str], log_path: Path, lock: int | None = None) -> int:
    """Start `command` in a session of its own, so that Ctrl-C does not reach it, its output appended to `log_path`.

    It and its children inherit the open file `lock`, and with it a lock that is then held as long as one of them lives.
    Return its process number; `exit_status` must be asked until it ends, or it stays a zombie as long as we live.
    """
    inherited = [] if lock is None else [(os.POSIX_SPAWN_DUP2, lock, _LOCK_FD if lock != _LOCK_FD else _LOCK_FD + 1)]
    write = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.posix_spawn(
        command[0],
        command,
        _ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_path), write, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *inherited,
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )


def exit_status(child: int) -> int | None:
    """Return how our own child ended, negative for a signal, None while it runs. Buries it."""
    try:
        pid, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:
        return _ENDED_UNSEEN
    return os.waitstatus_to_exitcode(status) if pid else None


def claimed_pid(directory: Path) -> int | None:
    """Return the process number in postmaster.pid of the cluster in `directory`, true or not; None if there is none."""
    try:
        pid = int((directory / "postmaster.pid").read_text("utf-8", "replace").splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    return abs(pid) or None  # Negative when an operator works on the cluster with `postgres --single`.


def is_server(pid: int, directory: Path) -> bool:
    """Tell whether process `pid` lives and is PostgreSQL working in the cluster `directory`. Buries our own dead."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # It lives, as another user.
    if not _IS_LINUX:
        return _name_by_ps(pid) == "postgres"
    name, state = _name_and_state(pid)
    if name != "postgres":
        return False
    if state in "ZX":
        # Only when it is ours, such as for the first process of a container; nobody else waits for it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return False
    return _works_in(pid, directory)


def title(directory: Path) -> str:
    """Return the name under which the server of the cluster `directory` and its children show in lists of processes."""
    return f"outrider-{hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]}"


def children_left(directory: Path) -> list[int]:
    """Return the processes that work in the cluster although its server is gone. Call only when it is."""
    if not _IS_LINUX:
        return []
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _name_and_state(pid) in _LIVING and _works_in(pid, directory)]


def send_signal(pid: int, number: signal.Signals) -> None:
    """Signal a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_session(leader: int) -> None:
    """Kill what `spawn` started, with the children that are in its group: initdb has some, who write files."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


_LIVING: Final = frozenset(("postgres", state) for state in "RSDTtIPK")  # proc(5): all states but zombie and dead.


def _name_and_state(pid: int) -> tuple[str, str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return "", "X"
    name, _, rest = text.partition("(")[2].rpartition(") ")  # The name may hold brackets itself.
    return name, rest[0]


def _works_in(pid: int, directory: Path) -> bool:
    """A server and its children stand in their cluster. Where we may not see that, their command lines name it."""
    place = _PROC / str(pid)
    try:
        return (place / "cwd").samefile(directory)
    except PermissionError:  # Root without CAP_SYS_PTRACE, as in containers.
        with contextlib.suppress(OSError):
            command = (place / "cmdline").read_bytes()
            paths = [word for word in command.split(b"\0") if word.startswith(b"/")]
            is_child = command.startswith(f"postgres: {title(directory)}:".encode())
            return is_child or os.fsencode(directory.resolve()) in map(os.path.realpath, paths)
        return False
    except OSError:  # It has just ended.
        return False


def _name_by_ps(pid: int) -> str:
    command = ["/bin/ps", "-p", str(pid), "-o", "comm="]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a number.
    return Path(answer.stdout.strip()).name

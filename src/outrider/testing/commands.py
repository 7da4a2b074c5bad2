"""Commands of Outrider without their start: forked from a process that has imported all of them.

    finished = await nursery().run(("key", "list", "--json"), env)      # 0.6 -> 0.03 s of CPU and more (2026-11)

Each is a process of its own all the same: with this environment, directory and standard streams, and the exit code that
the installed program would have. What it lacks is a start of the interpreter and the imports: that a command imports
what it needs is shown by one that was not forked (`program.Program` runs its first so, and `serve`).

    tests ── nursery: waits for orders ── one process per command, to wait for it ── the command

The nursery ends with the process that made it, by the end of their socket. It is of Linux, as the tests are.
"""

import asyncio
import atexit
import contextlib
import functools
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

PROGRAM: Final = str(Path(sys.executable).with_name("outrider"))
_ORDER_BYTES_MAX: Final = 128 * 1024  # Ours: arguments and environment; Linux sends 200 KB in one piece.
_STREAM_COUNT: Final = 3  # The command's output, its complaints, and where its exit code goes.
_END_S: Final = 5.0


class Finished(msgspec.Struct, frozen=True):
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


class Order(msgspec.Struct, frozen=True):
    """A command to run."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    directory: str


class Nursery:
    """The process that has imported everything, seen from its maker."""

    def __init__(self) -> None:
        """Start it; the first command waits until it has imported."""
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._child: Final = subprocess.Popen(  # noqa: S603 - ourselves.
                [sys.executable, "-m", "outrider.testing.commands", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the tests.
                env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            )

    def close(self) -> None:
        """End it. Commands that run go on."""
        self._ours.close()
        self._child.wait(_END_S)

    async def run(self, arguments: Sequence[str], env: Mapping[str, str], *, timeout_s: float) -> Finished:
        """Run `outrider ARGUMENTS` in this environment to its end.

        Raises:
            TimeoutError: it did not end in time; it is killed.
        """
        order = msgspec.json.encode(Order(arguments, env, str(Path.cwd())))
        assert len(order) <= _ORDER_BYTES_MAX, "an order that long is cut"
        with contextlib.ExitStack() as stack:
            # Files in memory: they take whatever is said, and wait for nobody who inherited them.
            files = [os.memfd_create(name) for name in ("stdout", "stderr")]
            for file in files:
                stack.callback(os.close, file)
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self._ours, [order], [*files, theirs.fileno()])
            code = await _code(ours, timeout_s)
            said = [os.pread(file, os.fstat(file).st_size, 0).decode("utf-8", "replace") for file in files]
        return Finished(code, *said)


@functools.cache
def nursery() -> Nursery:
    """Return the one of this process, which ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made


async def _code(ours: socket.socket, timeout_s: float) -> int:
    """Return the exit code of the command that reports there, negative for a signal. Raises TimeoutError."""
    reader, writer = await asyncio.open_connection(sock=ours)
    pid = 0
    try:
        async with asyncio.timeout(timeout_s):
            pid = int(await reader.readline())
            return int(await reader.readline())
    except TimeoutError:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await reader.read()
        raise
    finally:
        writer.close()


def main(orders: socket.socket) -> None:
    """Import everything, then run each order in a process of its own until nobody can send one."""
    _warm_up()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for those that wait.
    while True:
        order, files, _, _ = socket.recv_fds(orders, _ORDER_BYTES_MAX, _STREAM_COUNT)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _carry_out(msgspec.json.decode(order, type=Order), files)
            return
        for file in files:
            os.close(file)


def _carry_out(order: Order, files: Sequence[int]) -> None:
    """Be the command, or wait for it and tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stdout, stderr, reply = files
    pid = os.fork()
    if pid:
        os.write(reply, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(reply, b"%d\n" % os.waitstatus_to_exitcode(status))
        return
    os.close(reply)
    for file, number in ((stdout, 1), (stderr, 2)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order.env)
    os.chdir(order.directory)
    try:
        _play(order.arguments)
    except SystemExit as end:
        # At once: taking the interpreter apart would copy all the memory that we share, 0.06 s of CPU.
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def _warm_up() -> None:
    """Import what commands need: `--help` shows all, so it imports all; parsing and the database need more."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        for arguments in (["--help"], ["simulator", "--list", "--json"]):
            with contextlib.suppress(SystemExit):
                _play(arguments)
    for late in ("outrider.store.embedded", "outrider.store.migrate", "asyncpg.protocol.protocol", "rich.table"):
        importlib.import_module(late)


def _play(arguments: Sequence[str]) -> None:
    """Run the installed program here. Raises SystemExit."""
    sys.argv = [PROGRAM, *arguments]
    runpy.run_path(PROGRAM, run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

"""The real Outrider, started as a user would start it: processes, ports, a data directory. For tests and benchmarks.

    async with Program(data_dir, delivery=f"smarthost://127.0.0.1:{sink.port}") as program:
        await program.start()                                   # serve, ready, init, domain add, sender add
        answer = await program.send(["user@partner.example"], "Hello", "world")

It knows Outrider only by its contract: the command line, the environment, HTTP, and its processes. Those are found by
the data directory in their environment and, for the embedded database, by its `postmaster.pid`, so that children whose
parent was killed are found too. Leaving the block kills by pid whatever is left of them. Everything has a deadline.
What the processes print goes to `program.log_path`, beside the data directory.
"""

import asyncio
import base64
import contextlib
import functools
import http.client
import itertools
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec

from outrider.testing import commands, usage
from outrider.testing.commands import PROGRAM, Finished
from outrider.testing.usage import Usage

HOST: Final = "127.0.0.1"
DOMAIN: Final = "shop.example"
SENDER: Final = f"noreply@{DOMAIN}"
READY_S: Final = 60.0  # Ours: a new database on a busy machine takes ten.
STOP_S: Final = 5.0  # Issue 2: "Ctrl-C stops cleanly in under 5 s".
SETTLED_S: Final = 20.0
_COMMAND_S: Final = 60.0
_POLL_S: Final = 0.02
_KILL_S: Final = 5.0
# Linux takes those from 32768 on for connections (ip_local_port_range).
_PORT_FIRST: Final = 12_000
_SHARE_PORTS: Final = 200
_SHARE_COUNT: Final = 100
_PORT_NAMES: Final = ("HTTP", "CATCH", "SUBMISSION", "SUBMISSIONS", "INBOUND", "SIMULATOR")
_LOG_TAIL_CHARS: Final = 6000
_EFFECT_S: Final = 1.5  # A hold is read twice a second, a stop once; half a second for the reading.
# Settings of ours would not be the test's. Without kept bytecode each process compiles all of Outrider first: a start
# took 7.7 s of CPU instead of 5.4, a command 1.0 instead of 0.6 (2026-11).
_NOT_INHERITED: Final = ("OUTRIDER_", "PYTHONDONTWRITEBYTECODE")
_SEND_PATH: Final = "/api/v1/email/SendEmail"
_STATUS_PATH: Final = "/api/v1/email/SendStatus"


class ProgramError(Exception):
    """Outrider did not do what its contract says; the text has the end of its log."""


class Key(msgspec.Struct, frozen=True):
    """A key pair, as `init --json` prints it."""

    access_key_id: str
    access_key_secret: str

    @property
    def pair(self) -> str:
        """`id:secret`."""
        return f"{self.access_key_id}:{self.access_key_secret}"


class Answered(msgspec.Struct, frozen=True):
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return msgspec.json.decode(self.body)


class Program:
    """One Outrider: one data directory, one set of ports, any number of `serve` processes."""

    def __init__(self, data_dir: Path, *, delivery: str = "catch", env: Mapping[str, str] | None = None) -> None:
        self.data_dir: Final = data_dir.resolve()
        self.log_path: Final = self.data_dir.with_name(self.data_dir.name + ".log")
        self.ports: Final = dict(zip(_PORT_NAMES, free_ports(len(_PORT_NAMES)), strict=True))
        self.key: Key | None = None
        self.sender = ""
        self._is_catch: Final = delivery == "catch"
        self._env: Final = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)},
            "OUTRIDER_DATA_DIR": str(self.data_dir),
            "OUTRIDER_DELIVERY": delivery,
            **{f"OUTRIDER_{name}_PORT": str(port) for name, port in self.ports.items()},
            **(env or {}),
        }
        self._serving: Final[list[asyncio.subprocess.Process]] = []
        self._has_commanded = False

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{HOST}:{self.ports['HTTP']}"

    @property
    def serving_pids(self) -> list[int]:
        """The processes that `serve` started, oldest first: the supervisors."""
        return [child.pid for child in self._serving if child.returncode is None]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill_all(politely=True)

    # -- The command line.

    async def command(self, *arguments: str, timeout_s: float = _COMMAND_S) -> Finished:
        """Run `outrider ARGUMENTS` to its end, whatever its exit code.

        The first is the installed program from its start, the others are forked (`testing.commands`).

        Raises:
            TimeoutError: it did not end in time; it is killed.
        """
        if self._has_commanded:
            return await commands.nursery().run(arguments, self._env, timeout_s=timeout_s)
        self._has_commanded = True
        child = await asyncio.create_subprocess_exec(
            PROGRAM,
            *arguments,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr = await child.communicate()
        except TimeoutError:
            child.kill()
            await child.wait()
            raise
        assert child.returncode is not None
        return Finished(child.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))

    async def command_json(self, *arguments: str) -> Any:
        """Run `outrider ARGUMENTS --json` and return what it printed.

        Raises:
            ProgramError: its exit code was not 0, or it printed no JSON.
        """
        finished = await self.command(*arguments, "--json")
        try:
            if finished.code == 0:
                return msgspec.json.decode(finished.stdout)
        except msgspec.DecodeError as error:
            raise ProgramError(f"outrider {' '.join(arguments)} printed no JSON: {finished.stdout[:500]!r}") from error
        said = finished.stderr[-2000:] or finished.stdout[:2000]
        raise ProgramError(f"outrider {' '.join(arguments)} ended with {finished.code}: {said}")

    # -- Its life.

    async def set_up(self, domain: str = DOMAIN, sender: str = SENDER, *, domain_options: Sequence[str] = ()) -> Key:
        """Make the project's first key, a verified domain and a sender. In catch mode `init` makes the usual ones."""
        self.key = msgspec.convert(await self.command_json("init"), Key)
        if not self._is_catch or (domain, sender, *domain_options) != (DOMAIN, SENDER):
            await self.command_json("domain", "add", domain, "--verified", *domain_options)
            await self.command_json("sender", "add", sender)
        self.sender = sender
        return self.key

    async def start(
        self, *arguments: str, domain: str = DOMAIN, sender: str = SENDER, domain_options: Sequence[str] = ()
    ) -> Key:
        """Start `outrider serve ARGUMENTS`, with the web role among them, and set up when it is ready.

        Commands then join the database that runs, which is quicker than starting it for each.
        """
        await self.serve(*arguments)
        await self.ready()
        return await self.set_up(domain, sender, domain_options=domain_options)

    async def serve(self, *arguments: str) -> int:
        """Start `outrider serve ARGUMENTS` in a process group of its own; return its pid at once."""
        with self.log_path.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                PROGRAM,
                "serve",
                *arguments,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._serving[:] = [one for one in self._serving if one.returncode is None] + [child]
        return child.pid

    async def ready(self, timeout_s: float = READY_S) -> None:
        """Return when /readyz answers 200.

        Raises:
            ProgramError: the last `serve` ended first, or the time is up.
        """
        child = self._serving[-1]
        deadline_s = perf_counter() + timeout_s
        while perf_counter() < deadline_s:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if (await self.request("GET", "/readyz", timeout_s=2.0)).status == 200:
                    return
            try:
                async with asyncio.timeout(_POLL_S):
                    await child.wait()
            except TimeoutError:
                continue
            break
        raise ProgramError(f"not ready (exit code {child.returncode}); its log ends:\n{self.log_tail()}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask every `serve` to stop; return how many seconds it took.

        Raises:
            ProgramError: one had ended before, took over 5 s, its exit code was not 0, or it left a process behind.
        """
        started_s = perf_counter()
        children, self._serving[:] = [*self._serving], []
        if ended := [child.returncode for child in children if child.returncode is not None]:
            self._serving[:] = children
            raise ProgramError(f"ended by itself before, with {ended}; its log ends:\n{self.log_tail()}")
        for child in children:
            os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
        for child in children:
            try:
                async with asyncio.timeout(STOP_S + 1.0):
                    await child.wait()
            except TimeoutError as error:
                self._serving[:] = children
                raise ProgramError(f"still running; its log ends:\n{self.log_tail()}") from error
        took_s = perf_counter() - started_s
        codes = [child.returncode for child in children]
        left = self.processes()
        if took_s > STOP_S or any(codes) or left:
            raise ProgramError(f"stopped in {took_s:.1f} s with {codes}, left {left}; log:\n{self.log_tail()}")
        return took_s

    async def kill(self, pid: int) -> None:
        """SIGKILL one process and return when it is gone. Gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for child in self._serving:
            if child.pid == pid:
                await child.wait()
                self._serving.remove(child)
                return
        await _gone(pid)

    def signal(self, role: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a role; there is at least one."""
        pids = [pid for pid, found in self.processes().items() if found == role]
        assert pids, f"no process is {role}"
        for pid in pids:
            os.kill(pid, number)

    async def kill_all(self, *, politely: bool = False) -> None:
        """SIGKILL every process of this Outrider, the database included; with `politely` the database may clean up."""
        for _ in range(10):  # A process may start another one while we look.
            found = self.processes()
            if not found:
                break
            for pid, role in found.items():
                number = signal.SIGQUIT if politely and role == "postgres" else signal.SIGKILL
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            for child in self._serving:
                if child.pid in found:
                    await child.wait()
            for pid in found:
                await _gone(pid)
        self._serving.clear()

    # -- Its processes.

    def processes(self) -> dict[int, str]:
        """Return every living process of this Outrider: pid to role, `supervisor` and `postgres` among them."""
        wanted = f"OUTRIDER_DATA_DIR={self.data_dir}"
        found = {
            process.pid: role_of(process.pid)
            for process in usage.everybody()
            if wanted in usage.words_of(process.pid, "environ")
        }
        return found | dict.fromkeys(self._database(), "postgres")

    def usage(self) -> dict[str, Usage]:
        """Return what each role has used so far, children that ended included."""
        return usage.measure(self.processes())

    def dsn(self) -> str:
        """Return the address of the embedded database, for what the command line cannot do: a million rows at once.

        Raises:
            ProgramError: it does not run.
        """
        for path in self.data_dir.glob("**/postmaster.pid"):
            with contextlib.suppress(OSError, IndexError):
                lines = path.read_text().splitlines()  # PostgreSQL: pid, directory, start, port, socket directory.
                return f"postgresql://outrider@/outrider?host={quote(lines[4])}&port={lines[3]}"
        raise ProgramError("the embedded database does not run")

    def log_tail(self) -> str:
        """Return the end of what the processes printed."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text("utf-8", "replace")[-_LOG_TAIL_CHARS:]

    def _database(self) -> list[int]:
        """The embedded PostgreSQL: it hides its environment, so by the file it keeps."""
        for path in self.data_dir.glob("**/postmaster.pid"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid = int(path.read_text().split()[0])
                # The file may be left behind; then the number is nobody's, or somebody else's by now.
                if any(str(self.data_dir) in word for word in usage.words_of(pid)):
                    return usage.family(pid)
        return []

    # -- Its API.

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        key: Key | None = None,
        timeout_s: float = 20.0,
    ) -> Answered:
        """Ask over HTTP; `body` is sent as it is when it is bytes, as JSON otherwise."""
        given = dict(headers or {})
        if key is not None:
            given.setdefault("Authorization", f"Basic {base64.b64encode(key.pair.encode()).decode()}")
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if content is not None:
            given.setdefault("Content-Type", "application/json")

        def ask() -> Answered:
            connection = http.client.HTTPConnection(HOST, self.ports["HTTP"], timeout=timeout_s)
            try:
                connection.request(method, path, content, given)
                response = connection.getresponse()
                names = {name.lower(): value for name, value in response.getheaders()}
                return Answered(response.status, names, response.read())
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def send(self, recipients: Sequence[str], subject: str = "Hello", content: str = "Hello.") -> Any:
        """Call SendEmail with the first key; return the decoded answer."""
        call = {
            "SendEmail": self.sender,
            "TargetEmailAddress": recipients,
            "Subject": subject,
            "Content": content,
            "FromName": "Example Shop",
        }
        return (await self.request("POST", _SEND_PATH, call, key=self.key)).json()

    async def session(self, session_no: str) -> Any:
        """Call SendStatus with the first key; return the decoded answer."""
        return (await self.request("GET", f"{_STATUS_PATH}?SessionNo={session_no}", key=self.key)).json()

    async def settled(self, session_no: str, timeout_s: float = SETTLED_S) -> Any:
        """Return SendStatus's answer once no recipient of the session is queued any more.

        Raises:
            ProgramError: the time is up.
        """

        async def look() -> Any:
            answer = await self.session(session_no)
            return answer if all(row["Status"] != "queued" for row in answer["Data"]) else None

        return await self.until(look, timeout_s)

    async def take_effect(self) -> None:
        """Return when a hold or a stop that was just made holds everywhere: 1.5 s later (`engine.holds`, `stops`)."""
        said_s = perf_counter()

        async def is_over() -> bool:
            return perf_counter() - said_s >= _EFFECT_S

        await self.until(is_over)

    async def until(self, look: Callable[[], Awaitable[Any]], timeout_s: float = SETTLED_S) -> Any:
        """Return what `look` returns as soon as that is true.

        Raises:
            ProgramError: it was never true in that time.
        """
        deadline_s = perf_counter() + timeout_s
        while perf_counter() < deadline_s:
            if found := await look():
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await asyncio.Event().wait()
        raise ProgramError(f"not so within {timeout_s} s; the log ends:\n{self.log_tail()}")


def role_of(pid: int) -> str:
    """Return the role of a process of ours, by its command line: the word after `role`, else `supervisor`."""
    words = usage.words_of(pid)
    for at, word in enumerate(words[:-1]):
        if word == "role" or word.endswith(".role"):
            return words[at + 1]
    return "supervisor" if "serve" in words else "other"


def free_ports(count: int) -> list[int]:
    """Return so many different ports that nobody listens on now, nor will: other test processes are given others.

    A port of the kernel's choice may be chosen again, for a connection even, before the program has started.
    """
    return list(itertools.islice(filter(_is_free, _own_ports()), count))


@functools.cache
def _own_ports() -> Iterator[int]:
    """The ports of this process, again and again. Two processes share them if their pids differ by 100, or 200, ..."""
    first = _PORT_FIRST + os.getpid() % _SHARE_COUNT * _SHARE_PORTS
    return itertools.cycle(range(first, first + _SHARE_PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((HOST, port))
        return True
    return False


async def _gone(pid: int) -> None:
    await asyncio.to_thread(usage.wait_gone, pid, _KILL_S)

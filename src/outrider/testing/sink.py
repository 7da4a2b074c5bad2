"""A counting SMTP sink: takes all mail, keeps none of it, and can say exactly what came.

    python -m outrider.testing.sink --port 2525 --tls --record taken.tsv --behaviour "dot@0.01 * swallow"

On start it prints one JSON line, `{"port": ..., "control_port": ...}`; port 0 takes a free one. `--host 127.0.0.2`,
once or more, listens at those addresses instead, all with one port. It runs until SIGTERM, until its control channel
says stop, or for `--lifetime` seconds. `sink_talk` holds the conversations, `tally` the counts, `policy.behaviour`
the rules for misbehaving.

The control channel is a loopback TCP port, one JSON object a line each way: `{"ask": "counts"}`, `{"ask": "wait",
"messages": N | "unique": N, "timeout_s": S}`, `recipients`, `repeated`, `reset`, `behave` (`rules`: new lines,
replacing the old), `stop`. `sink_client` speaks it. It listens on loopback only and relays nothing, ever.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import random
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from outrider.net.selfsigned import SelfSigned
from outrider.policy.behaviour import Rule, Rulebook, fault_mix, parse_rule
from outrider.testing.sink_talk import Counter, SinkTalk
from outrider.testing.tally import Counts, Tally

HOST: Final = "127.0.0.1"
LIFETIME_S: Final = 3600.0  # Ours: a sink nobody stops ends by itself.
_WAIT_S_MAX: Final = 600.0  # Ours: the longest `wait` of the control channel.
_DESCRIPTORS_MAX: Final = 100_000
_BACKLOG_COUNT: Final = 1024  # Ours: connections that nobody has accepted yet.


class SinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one sink is run."""

    hosts: tuple[str, ...] = (HOST,)  # Loopback addresses, at least one.
    port: int = 0  # 0: a free one.
    control_port: int = 0
    has_tls: bool = False
    record: Path | None = None
    rules: tuple[Rule, ...] = ()
    seed: int = 1
    lifetime_s: float = LIFETIME_S


class Ports(msgspec.Struct, frozen=True):
    """The line a sink prints when it is ready."""

    port: int
    control_port: int


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the control channel."""

    ask: str
    messages: int = 0
    unique: int = 0
    timeout_s: float = 60.0
    rules: tuple[str, ...] = ()


class Sink:
    """The listening sockets and what they share."""

    def __init__(self, settings: SinkSettings) -> None:
        self.settings: Final = settings
        self.tally: Final = Tally(settings.record)
        self.counter: Final = Counter(
            self.tally,
            Rulebook(settings.rules, random.Random(settings.seed).random),
            SelfSigned("sink.example").context if settings.has_tls else None,
        )
        self.stopping: Final = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop; prints the ports when ready."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        servers = await self._listen(loop)
        control = await asyncio.start_server(self._on_control, HOST, self.settings.control_port)
        ports = Ports(servers[0].sockets[0].getsockname()[1], control.sockets[0].getsockname()[1])
        sys.stdout.buffer.write(msgspec.json.encode(ports) + b"\n")
        sys.stdout.flush()
        try:
            async with self.counter.upgrades:
                loop.call_later(self.settings.lifetime_s, self.stopping.set)
                await self.stopping.wait()
                for server in servers:
                    server.close()
                control.close()
                for talk in tuple(self.counter.talks):
                    talk.abort()
        finally:
            self.tally.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> list[asyncio.Server]:
        """Listen at every address, at the port that is free at the first. Raises OSError if it is not at another."""
        servers: list[asyncio.Server] = []
        port = self.settings.port
        for host in self.settings.hosts:
            servers.append(await loop.create_server(lambda: SinkTalk(self.counter), host, port, backlog=_BACKLOG_COUNT))
            port = servers[0].sockets[0].getsockname()[1]
        return servers

    async def _on_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(await self._answer(line) + b"\n")
                await writer.drain()
        except OSError:
            return  # The asker went away; whoever wants to know asks again.
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=Request)
            return await self._serve(request)
        except ValueError as error:  # Unreadable JSON or rule: msgspec's errors are ValueErrors.
            return msgspec.json.encode({"error": str(error)})

    async def _serve(self, request: Request) -> bytes:
        is_reached = False
        match request.ask:
            case "counts":
                pass
            case "wait":
                is_reached = await self.tally.wait(
                    request.unique or request.messages,
                    is_unique=bool(request.unique),
                    timeout_s=min(request.timeout_s, _WAIT_S_MAX),
                )
            case "recipients":
                return msgspec.json.encode({"recipients": self.tally.recipients_seen()})
            case "repeated":
                return msgspec.json.encode({"recipients": self.tally.recipients_repeated()})
            case "reset":
                self.tally.reset()
            case "behave":
                draw = random.Random(self.settings.seed).random
                self.counter.rulebook = Rulebook([parse_rule(rule) for rule in request.rules], draw)
            case "stop":
                self.stopping.set()
            case _:
                raise ValueError(f"nobody knows how to {request.ask!r}")
        self.tally.flush()
        answer: Counts = self.tally.counts(is_reached=is_reached)
        return msgspec.json.encode(answer)


def run(settings: SinkSettings) -> int:
    """Serve until stopped. Returns the exit code."""
    _raise_descriptors_max()

    async def serve() -> None:
        await Sink(settings).run()

    uvloop.run(serve())
    return 0


def _raise_descriptors_max() -> None:
    """Ask for as many descriptors as a benchmark of 50,000 domains may want: the sink must not be the bound."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, _DESCRIPTORS_MAX), hard):
        with contextlib.suppress(OSError, ValueError):  # Only root may raise the hard limit.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="outrider sink", description="Take all mail, count it, keep none.")
    parser.add_argument("--host", action="append", default=[], help=f"loopback address to listen at; {HOST} if none")
    parser.add_argument("--port", type=int, default=0, help="SMTP port; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="port of the control channel; 0 takes a free one")
    parser.add_argument("--tls", action="store_true", help="offer STARTTLS with a certificate made now")
    parser.add_argument("--record", type=Path, help="append one line for each message taken to this file")
    parser.add_argument(
        "--behaviour", action="append", default=[], metavar="RULE", help="'rcpt *@full.example reply 452 4.2.2 full'"
    )
    parser.add_argument(
        "--faults", type=float, default=0.0, metavar="SHARE", help="part of the mail that meets trouble"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the shares of the rules")
    parser.add_argument("--lifetime", type=float, default=LIFETIME_S, help="seconds after which it ends by itself")
    chosen = parser.parse_args(arguments)
    try:
        mixed = fault_mix(chosen.faults) if chosen.faults else ()
        rules = tuple(parse_rule(line) for line in (*chosen.behaviour, *mixed))
        if not all(ipaddress.ip_address(host).is_loopback for host in chosen.host):
            parser.error("a sink listens on loopback only")
    except ValueError as error:
        parser.error(str(error))
    return run(
        SinkSettings(
            hosts=tuple(chosen.host) or (HOST,),
            port=chosen.port,
            control_port=chosen.control_port,
            has_tls=chosen.tls,
            record=chosen.record,
            rules=rules,
            seed=chosen.seed,
            lifetime_s=chosen.lifetime,
        )
    )


if __name__ == "__main__":
    sys.exit(main())

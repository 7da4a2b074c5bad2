"""A name server for any number of names: what they have follows from the name itself, so nothing is listed.

    python -m outrider.testing.zone --rule "slow.example own 127.0.0.9" --rule "* own 127.0.0.1 127.0.0.2"

On start it prints one JSON line, `{"port": ...}`, and runs until SIGTERM or for `--lifetime` seconds. A rule is SUFFIX
SITE ADDRESS...: the first whose suffix the name has (`*`: any name) says what it has.

    SITE own       each name is a site of its own: MX 10 mx.NAME, which has one of the addresses, always the same
    SITE mx.a.b    all names share that mail host, which has all the addresses

Nothing has an AAAA or TXT record; names that no rule knows do not exist. UDP only, answers of less than 512 octets, no
EDNS: about 15 us an answer, where `testing.dns`, which can misbehave, takes 300. Source: RFC 1035 §4.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
import uvloop

HOST: Final = "127.0.0.1"
OWN: Final = "own"
LIFETIME_S: Final = 3600.0  # Ours: a server nobody stops ends by itself.
_ANY: Final = "*"
_TTL_S: Final = 3600
_START_S: Final = 15.0  # Ours: imports on a busy machine.
_STOP_S: Final = 5.0

_HEAD_BYTES: Final = 12
_A, _SOA, _MX = 1, 6, 15
_NO_NAME: Final = 3
_GOOD: Final = b"\x85\x80"  # An authoritative answer; recursion desired and available.
_QUESTION_NAME: Final = b"\xc0\x0c"  # A pointer to the name in the question.


class Rule(msgspec.Struct, frozen=True):
    """What the names of one suffix have."""

    suffix: str  # "slow.example": that name and all below it. "*": every name.
    site: str  # `OWN`, or the name of a mail host that all of them share.
    addresses: tuple[str, ...]  # IPv4, at least one.

    def __str__(self) -> str:
        return " ".join((self.suffix, self.site, *self.addresses))

    def knows(self, name: str) -> bool:
        """Whether the rule speaks of this name; the mail host itself included."""
        return self.suffix == _ANY or name in (self.suffix, self.site) or name.endswith(f".{self.suffix}")


class Ready(msgspec.Struct, frozen=True):
    """The line a server prints when it is ready."""

    port: int


def parse_rule(line: str) -> Rule:
    """Read one rule.

    Raises:
        ValueError: the line is none; the text says why.
    """
    words = line.lower().split()
    if len(words) < 3:
        raise ValueError(f"a rule is SUFFIX SITE ADDRESS..., not {line!r}")
    suffix, site, *addresses = words
    return Rule(
        suffix.removeprefix("*.").removesuffix("."), site, tuple(map(str, map(ipaddress.IPv4Address, addresses)))
    )


def answer(packet: bytes, rules: Sequence[Rule]) -> bytes | None:
    """Return the answer to a question; None: it is no question, be silent."""
    asked = _read_question(packet)
    if asked is None:
        return None
    name, kind, question = asked
    rule = next((rule for rule in rules if rule.knows(name)), None)
    if rule is None:
        return _respond(packet, question, _NO_NAME, ())
    return _respond(packet, question, 0, _records(rule, name, kind))


def _read_question(packet: bytes) -> tuple[str, int, bytes] | None:
    """Return the name in lower case, the kind, and the question as it stands in the packet."""
    if len(packet) < _HEAD_BYTES + 5 or packet[2] & 0x80 or packet[4:6] != b"\x00\x01":
        return None
    labels, at = [], _HEAD_BYTES
    while length := packet[at]:
        if length > 63 or at + length + 5 >= len(packet):
            return None
        labels.append(packet[at + 1 : at + 1 + length])
        at += length + 1
    end = at + 5
    return b".".join(labels).decode("ascii", "replace").lower(), int.from_bytes(packet[at + 1 : at + 3]), packet[12:end]


def _records(rule: Rule, name: str, kind: int) -> Sequence[bytes]:
    """Return the contents of the records of this kind."""
    is_host = name.startswith("mx.") if rule.site == OWN else name == rule.site
    if kind == _MX and not is_host:
        host = b"\x02mx" + _QUESTION_NAME if rule.site == OWN else _encode(rule.site)
        return (b"\x00\x0a" + host,)
    if kind == _A and is_host:
        if rule.site != OWN:
            return [ipaddress.IPv4Address(address).packed for address in rule.addresses]
        chosen = rule.addresses[zlib.crc32(name.encode()) % len(rule.addresses)]
        return (ipaddress.IPv4Address(chosen).packed,)
    return ()


def _respond(packet: bytes, question: bytes, code: int, contents: Sequence[bytes]) -> bytes:
    kind = question[-4:-2]
    head = packet[:2] + bytes((_GOOD[0], _GOOD[1] | code)) + b"\x00\x01"
    if contents:
        start = _QUESTION_NAME + kind + b"\x00\x01" + _TTL_S.to_bytes(4)
        records = b"".join(start + len(content).to_bytes(2) + content for content in contents)
        return head + len(contents).to_bytes(2) + b"\x00\x00\x00\x00" + question + records
    # RFC 2308 §3: the SOA record says how long a "no" counts. Its names are the root, its numbers all the TTL.
    content = b"\x00\x00" + _TTL_S.to_bytes(4) * 5
    soa = _QUESTION_NAME + _SOA.to_bytes(2) + b"\x00\x01" + _TTL_S.to_bytes(4) + len(content).to_bytes(2) + content
    return head + b"\x00\x00\x00\x01\x00\x00" + question + soa


def _encode(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\x00"


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules: Final = rules
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's own are no subclass of it.

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        found = answer(data, self._rules)
        if found is not None and self._transport is not None:
            self._transport.sendto(found, addr)


async def serve(rules: Sequence[Rule], *, port: int = 0, lifetime_s: float = LIFETIME_S) -> None:
    """Serve until SIGTERM, SIGINT, or the end of its lifetime; prints the port when ready."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(rules), local_addr=(HOST, port))
    try:
        sys.stdout.buffer.write(msgspec.json.encode(Ready(transport.get_extra_info("sockname")[1])) + b"\n")
        sys.stdout.flush()
        loop.call_later(lifetime_s, stopping.set)
        await stopping.wait()
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def running_zone(*rules: Rule, lifetime_s: float = LIFETIME_S) -> AsyncIterator[str]:
    """Run a server as a process of its own; give its address, "127.0.0.1:PORT". It ends with the block.

    Raises:
        RuntimeError: it ended before it was ready; its complaint is on stderr.
    """
    arguments = ["--lifetime", str(lifetime_s)]
    for rule in rules:
        arguments += ["--rule", str(rule)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "outrider.testing.zone", *arguments, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(_START_S):
            line = await child.stdout.readline()
        if not line:
            raise RuntimeError("the name server ended before it was ready")
        yield f"{HOST}:{msgspec.json.decode(line, type=Ready).port}"
    finally:
        if child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m outrider.testing.zone", description="Answer for any name.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--rule", action="append", default=[], metavar="RULE", help='"SUFFIX SITE ADDRESS..."')
    parser.add_argument("--lifetime", type=float, default=LIFETIME_S, help="seconds after which it ends by itself")
    chosen = parser.parse_args(arguments)
    try:
        rules = [parse_rule(line) for line in chosen.rule]
    except ValueError as error:
        parser.error(str(error))
    uvloop.run(serve(rules, port=chosen.port, lifetime_s=chosen.lifetime))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Keys are rotated under load, in the real program: no mail unsigned, none signed by a key that DNS does not have yet.

A real name server has the records; they come into it while mail flows, and what finds them there says so to the key
ring (as the verification of domains does). The master key is rotated in between. dkimpy judges what was caught.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import dkim as dkimpy
import dns.asyncresolver
import dns.resolver
import msgspec
import pytest

from outrider.app import SystemClock
from outrider.services.dkim_keys import KeyRing
from outrider.services.settings import IdentitySettings
from outrider.store import master_key, projects
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.store.vault import vault_of
from outrider.testing.dns import DnsServer, Node
from outrider.testing.load import LoadSettings
from outrider.testing.load_client import running_load
from outrider.testing.program import DOMAIN, Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DELIVER_WORKERS = 3
RATE = 60.0  # Recipients a second: all processes always have some, on a machine that has other work too.
ROTATION_COUNT = 2
FRESH_S = 1.0  # By then every process has switched.
_signature = re.compile(rb"^DKIM-Signature:(.*?)(?=\r?\n[^ \t])", re.MULTILINE | re.DOTALL)
_ALGORITHMS: Final = ["ed25519-sha256", "rsa-sha256"]


class Signed(msgspec.Struct, frozen=True):
    """A signature of a caught mail."""

    selector: str
    algorithm: str
    at: int  # In seconds, cut off.


class Dns:
    """A zone that a test changes, served for real, and when each record came into it."""

    def __init__(self, server: DnsServer, zone: dict[str, Node]) -> None:
        self._server: Final = server
        self._zone: Final = zone
        self.published_at: Final[dict[str, float]] = {}

    def publish(self, selector: str, record: str) -> None:
        self._zone[f"{selector}._domainkey.{DOMAIN}"] = Node(txt=(record,), ttl_s=0)
        self.published_at[selector] = time.time()

    async def has(self, selector: str, record: str) -> bool:
        """Ask over the wire."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], self._server.port, 5.0
        try:
            found = await resolver.resolve(f"{selector}._domainkey.{DOMAIN}", "TXT")
        except dns.resolver.NXDOMAIN:
            return False
        return [b"".join(one.strings).decode() for one in found] == [record]

    def ask(self, name: bytes, timeout: float = 5) -> bytes | None:
        """Answer dkimpy, over the wire; for a thread."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], self._server.port, timeout
        return b"".join(next(iter(resolver.resolve(name.decode(), "TXT"))).strings)


@asynccontextmanager
async def key_ring(program: Program) -> AsyncIterator[tuple[KeyRing, UUID]]:
    """Yield a key ring on the program's database, and its project."""
    clock, bits = SystemClock(), random.SystemRandom().getrandbits
    async with Store(program.dsn(), StoreSettings()) as store:
        async with store.transaction() as tx:
            project = await projects.by_name(tx, "default")
        assert project is not None
        vault = vault_of(master_key.find("", program.data_dir, {}))
        yield KeyRing(store, vault, IdentitySettings(), clock=clock, random_bits=bits), project.project_id


def read_signatures(message: bytes) -> list[Signed]:
    found = []
    for value in _signature.findall(message):
        tags = dkimpy.parse_tag_value(value)
        found.append(Signed(tags[b"s"].decode(), tags[b"a"].decode(), int(tags[b"t"])))
    return found


def caught(program: Program) -> list[Path]:
    return [path for folder in ("new", "cur") for path in program.data_dir.glob(f"mailbox/{folder}/*")]


def is_good(message: bytes, names: Dns) -> bool:
    """Whether each of its signatures verifies, says dkimpy with what DNS has."""
    checker = dkimpy.DKIM(message)
    return all(checker.verify(idx=at, dnsfunc=names.ask) for at in range(len(read_signatures(message))))


async def rotate(program: Program, ring: KeyRing, project_id: UUID, names: Dns) -> tuple[list[str], float]:
    """Rotate once, as people do; return the new selectors, and when the ring was told of their records."""
    made = await program.command_json("domain", "rotate", DOMAIN)
    assert [entry["state"] for entry in made] == ["waiting", "waiting"]
    await flowing(program)  # With new keys that nobody has published yet.
    for entry in made:
        assert not await names.has(entry["selector"], entry["record"])
        names.publish(entry["selector"], entry["record"])
        await flowing(program)  # With one that is published and was not seen yet.
        is_published = await names.has(entry["selector"], entry["record"])
        assert is_published
        await ring.saw(project_id, DOMAIN, entry["selector"], is_published, record=entry["record"])
    switched_at = time.time()
    return [entry["selector"] for entry in made], switched_at


async def flowing(program: Program, seconds: float = 0.0) -> None:
    """Return when more mail has come, signed at least so many seconds from now."""
    before, since = len(caught(program)), time.time() + seconds

    async def look() -> bool:
        return len(caught(program)) > before + 20 and time.time() > since

    await program.until(look)


async def test_keys_change_under_load_without_a_gap(folder: Path) -> None:
    zone: dict[str, Node] = {}
    env = {"OUTRIDER_ENGINE__DELIVER_WORKERS": str(DELIVER_WORKERS)}
    async with DnsServer(zone) as server, Program(folder / "node", env=env) as program:
        names = Dns(server, zone)
        await program.start()
        for entry in await program.command_json("domain", "keys", DOMAIN):
            names.publish(entry["selector"], entry["record"])
        first = list(names.published_at)
        async with key_ring(program) as (ring, project_id), running_load(load_of(program)) as load:
            await flowing(program)
            switches = [(first, 0.0)]
            for number in range(ROTATION_COUNT):
                if number == 1:
                    rotated = await program.command_json("vault", "rotate")
                    assert (rotated["is_new_key"], rotated["closed_count"]) == (True, 0)
                switches.append(await rotate(program, ring, project_id, names))
                await flowing(program, FRESH_S + 2.0)
            report = await load.stop()
        assert report.error == ""
        messages = await all_caught(program, report.accepted)
        judge(messages, names, switches)
        bad = await asyncio.to_thread(lambda: [one for one in messages if not is_good(one, names)])
        assert bad == []
        assert await writers(program) == DELIVER_WORKERS
        print(f"{len(messages)} mails, {len(switches)} sets of keys")


def load_of(program: Program) -> LoadSettings:
    assert program.key is not None
    return LoadSettings(
        url=program.url,
        key=program.key.pair,
        sender=program.sender,
        count=1_000_000,
        per_call=10,
        connections=2,
        rate=RATE,
        patience_s=60.0,
        lifetime_s=150.0,
    )


async def all_caught(program: Program, count: int) -> list[bytes]:
    """Return all accepted mails once they have come."""

    async def look() -> bool:
        return len(caught(program)) >= count

    await program.until(look, 60.0)
    messages = [path.read_bytes() for path in caught(program)]
    assert len(messages) == count
    return messages


def judge(messages: Sequence[bytes], names: Dns, switches: Sequence[tuple[list[str], float]]) -> None:
    """Each mail has both signatures, by keys that were in DNS by then, and by the new ones once they were seen."""
    used: set[str] = set()
    for message in messages:
        signatures = read_signatures(message)
        assert sorted(one.algorithm for one in signatures) == _ALGORITHMS
        for one in signatures:
            assert one.at >= int(names.published_at[one.selector]), f"{one.selector} was not published"
            used.add(one.selector)
        latest, _ = [(who, at) for who, at in switches if at + FRESH_S < signatures[0].at][-1]
        following = switches[next(n for n, (who, _) in enumerate(switches) if who == latest) + 1 :][:1]
        allowed = {*latest, *(selector for who, _ in following for selector in who)}
        assert {one.selector for one in signatures} <= allowed
    assert used == {selector for who, _ in switches for selector in who}, "all keys were in use"


async def writers(program: Program) -> int:
    """Return how many processes delivered."""
    async with Store(program.dsn(), StoreSettings()) as store, store.transaction() as tx:
        (row,) = await tx.fetch("SELECT count(DISTINCT writer) AS count FROM egress_day")
    return int(row["count"])

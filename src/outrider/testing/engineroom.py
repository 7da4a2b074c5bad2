"""The engine on a real database, for its tests: a way in, ways out, and what became of each mail.

    room = EngineRoom(store, clock)
    async with Peer() as peer, running(room.accept), running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example")
        mail = await room.until_settled(session)

Senders and signing keys are given, not stored, so that an engine test needs no service. `Line` is a way to the
database that a test may cut. Waiting for rows polls them: what the engine writes it tells nobody.
"""

import asyncio
import contextlib
import functools
import io
import random
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID, uuid4

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client.parser import text_string_to_metric_families

from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.config import Config
from outrider.engine.accept import Acceptor
from outrider.engine.books import AllowedSender, DomainBook, PoolBook, QuotaBook
from outrider.engine.content import ContentBook
from outrider.engine.deliver import Deliverer, Router
from outrider.engine.gates import Gates
from outrider.engine.guard import GuardBook
from outrider.engine.holds import HoldBook
from outrider.engine.judge import Judge
from outrider.engine.lanes import LaneKeeper
from outrider.engine.prepare import Preparer, SigningKeys
from outrider.engine.service import Part, run_all
from outrider.engine.settings import EngineSettings
from outrider.engine.settle import Settler
from outrider.engine.slots import NodeSlots
from outrider.engine.stops import StopBook
from outrider.engine.submission import Accepted, Submission
from outrider.knowledge import make_shaping, rules_text
from outrider.mail import address, dkim
from outrider.mail.address import Address
from outrider.mail.dkim import SigningKey
from outrider.mail.verp import Purpose
from outrider.net.ledger import Ledger
from outrider.net.pool import ConnectionPool
from outrider.net.site import Site
from outrider.obs.log import Logger, make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.policy.classify import Classifier, parse_rules
from outrider.policy.route import Source, make_egress
from outrider.policy.settings import EgressSettings, Override, RetrySettings, ShapingSettings
from outrider.policy.shaping import Shaping
from outrider.policy.throttle import Ceiling
from outrider.store import events, messages, recipients
from outrider.store.events import Event
from outrider.store.guards import Guard
from outrider.store.lanes import Lane
from outrider.store.pool import Store
from outrider.store.recipients import Recipient
from outrider.testing.delivery import settings_for
from outrider.wire.answer import Answer

DOMAIN: Final = "shop.example"
LINKS_ROOT: Final = f"https://{DOMAIN}"  # Where its pages are.
SENDER: Final = f"noreply@{DOMAIN}"
PROJECT: Final = UUID("01970000-0000-7000-8000-000000000001")
OTHER_PROJECT: Final = UUID("01970000-0000-7000-8000-000000000002")  # Has a sender of the same address.
WAIT_S: Final = 15.0  # Ours: for what takes milliseconds on a quiet machine.
TABLES: Final = ("content", "message", "recipient", "queue", "event", "idempotency")  # What an accept writes to.
_POLL_S: Final = 0.005
_SOCKET: Final = ".s.PGSQL."
_READ_BYTES: Final = 65536


class OneWay:
    """A `Router`: one site for all, others for domains that are named, and a way to see or to fail each question."""

    def __init__(self, site: Site | Answer, **others: Site | Answer) -> None:
        self.site = site
        self.others: Final = {name.replace("_", ".") + ".example": other for name, other in others.items()}
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def route(self, domain: str) -> Site | Answer:
        """Return the site for `domain`."""
        if self.before is not None:
            await self.before(domain)
        return self.others.get(domain, self.site)


class Senders:
    """A `SenderBook` of the given addresses, by project."""

    def __init__(self, known: Mapping[UUID, Mapping[str, str]]) -> None:
        """`known` has each project's addresses and their display names."""
        self._known: Final = {
            (project_id, address.parse(text).key): AllowedSender(address.parse(text), name)
            for project_id, senders in known.items()
            for text, name in senders.items()
        }

    async def find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:  # noqa: ARG002
        """Return the sender, None if it was not given."""
        return self._known.get((project_id, sender.key))


class AnyDomain:
    """A `DomainBook` that takes everything, but for what a test has put into `errors`, by domain and stream."""

    def __init__(self) -> None:
        self.errors: Final[dict[tuple[str, Stream], CallerError]] = {}

    async def check(self, project_id: UUID, domain: str, stream: Stream) -> None:  # noqa: ARG002 - the contract.
        """Raise what the test said."""
        if (error := self.errors.get((domain, stream))) is not None:
            raise error


class OnePool:
    """A `PoolBook` with one answer."""

    def __init__(self, pool: str = "default") -> None:
        self.pool = pool

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:  # noqa: ARG002
        """Return the pool, whosever mail it is."""
        return self.pool


class OwnReturnPaths:
    """A `ReturnPathBook` without a bounce domain: bounces go to the sender. Its links lead to `links_root`, if set."""

    def __init__(self, links_root: str = "") -> None:
        self._links_root: Final = links_root

    async def domain_of(self, project_id: UUID, sender_domain: str, route: str) -> str:  # noqa: ARG002 - the contract.
        """Return "": none."""
        return ""

    def mint(self, recipient_id: UUID, domain: str, purpose: Purpose = Purpose.BOUNCE) -> str:
        """Return an address that anybody could have made."""
        return f"{purpose}-{recipient_id.hex}@{domain}"

    def link(self, recipient_id: UUID) -> str:
        """Return a link that anybody could have made."""
        return f"{self._links_root}/unsubscribe?token={recipient_id.hex}" if self._links_root else ""


class Unwarmed:
    """A `Ceilings` without any, a `DomainRates` whose `per_minute` a test may set by domain, `Guards` and `Stops`."""

    def __init__(self) -> None:
        self.ceilings: Final[dict[tuple[str, str], Ceiling]] = {}
        self.per_minute: Final[dict[str, int]] = {}
        self.guards: Final[list[Guard]] = []
        self.stopped: Final[dict[str, str]] = {}  # Why, by domain.

    def of(self, lane: Lane) -> Sequence[Guard]:
        """Return the guards that the test set, if they are about the lane's mail."""
        return [
            guard
            for guard in self.guards
            if guard.project_id == lane.project_id
            and guard.stream is lane.stream
            and guard.sender_domain in ("", lane.sender_domain)
            and guard.campaign in ("", lane.campaign)
        ]

    def reason_of(self, lane: Lane) -> str:
        """Return what the test says of the lane's domain."""
        return self.stopped.get(lane.sender_domain, "")

    def ceiling(self, source: str, provider: str) -> Ceiling | None:
        """Return the ceiling that the test set."""
        return self.ceilings.get((source, provider))

    async def rate_of(self, project_id: UUID, domain: str) -> int | None:  # noqa: ARG002 - the contract.
        """Return the rate that the test set."""
        return self.per_minute.get(domain)


class SameExit:
    """An `Exits`: every source talks to the recipient's own site, but for those in `others`, by source name."""

    def __init__(self, **others: Site | Answer) -> None:
        self.others: Final = others

    async def of(self, source: Source, site: Site) -> Site | Answer:
        """Return where `source` hands its mail."""
        return self.others.get(source.name, site)


class Keys:
    """A `SigningKeys` whose `by_domain` a test may change."""

    def __init__(self) -> None:
        self.by_domain: Final[dict[str, Sequence[SigningKey]]] = {DOMAIN: signing_keys("s1")}

    async def of_domain(self, project_id: UUID, domain: str) -> Sequence[SigningKey]:  # noqa: ARG002 - the contract.
        """Return the keys of the domain, whoever asks."""
        return self.by_domain.get(domain, ())


@functools.cache
def signing_keys(selector: str) -> tuple[SigningKey, SigningKey]:
    """Return an RSA-2048 and an Ed25519 key for `DOMAIN`, the same for each `selector` of one run."""
    made = (rsa.generate_private_key(public_exponent=65537, key_size=2048), ed25519.Ed25519PrivateKey.generate())
    pems = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in made]
    return dkim.load_key(DOMAIN, f"{selector}r", pems[0]), dkim.load_key(DOMAIN, f"{selector}e", pems[1])


@functools.cache
def classifier() -> Classifier:
    """Return the classifier of our rules; it is immutable, and 38 KB of rules take 10 ms to read."""
    return Classifier(parse_rules(rules_text()))


@functools.cache
def usual_shaping() -> Shaping:
    """Return our providers and limits, but 40 connections to a server of no provider; immutable, too."""
    return make_shaping(Config(shaping=ShapingSettings(providers={"default": Override(connections=40)})))


def submission(*to: str, **changes: Any) -> Submission:
    """Return a submission to these recipients; to one if none is given."""
    usual = {"sender": SENDER, "recipients": to or ("ann@a.example",), "subject": "Hello", "text": "Hello, world.\n"}
    return Submission(**usual | changes)


class Journal:
    """A logger and what was written to it."""

    def __init__(self) -> None:
        self._text: Final = io.StringIO()
        self.logger: Final[Logger] = make_logger(LogSettings(level="debug", format="json"), "test", self._text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All lines so far, decoded."""
        return [msgspec.json.decode(line) for line in self._text.getvalue().splitlines() if line.startswith("{")]

    def count(self, event: str) -> int:
        """How often `event` was logged."""
        return sum(line["event"] == event for line in self.lines)


class SharedLedger(Ledger):
    """A ledger that several deliverers of one process have open, each as long as it runs."""

    _user_count = 0

    def __enter__(self) -> Self:
        self._user_count += 1
        return super().__enter__() if self._user_count == 1 else self

    def __exit__(self, *given: Any) -> None:
        self._user_count -= 1
        if not self._user_count:
            super().__exit__(*given)


class LedgeredDeliverer(Deliverer):
    """A deliverer whose ledger is open while it runs."""

    def __init__(self, ledger: Ledger, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._ledger: Final = ledger

    async def run(self) -> None:
        """Run it."""
        with self._ledger:
            await super().run()


class EngineRoom:
    """The stations of the engine on one open store, whose partitions are there. Two projects, a sender each."""

    def __init__(self, store: Store, clock: Clock, **settings: Any) -> None:
        """`settings` change [engine]."""
        self.store: Final = store
        self.clock: Final = clock
        self.settings: Final = msgspec.structs.replace(
            EngineSettings(accept_wait_s=0.0, settle_wait_s=0.001, poll_s=0.25, stop_wait_s=2.0), **settings
        )
        self.metrics: Final = Metrics()
        self.journal: Final = Journal()
        self.keys: Final = Keys()
        self.connections: Final[list[ConnectionPool]] = []  # Of each deliverer, in the order they were made.
        self.pools: PoolBook = OnePool()  # Of acceptors that are made from then on.
        self.bounds: Final = Unwarmed()
        self.guards: GuardBook | None = None  # Of deliverers that are made from then on; else those of `bounds`.
        self.stops: StopBook | None = None  # The same.
        self.domains: DomainBook = AnyDomain()
        self.exits = SameExit()
        self.links_root = LINKS_ROOT
        self.egress = make_egress(EgressSettings(), Source("default"))
        self.shaping = usual_shaping()
        folder = Path(tempfile.mkdtemp(prefix="outrider-room-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.ledger: Final = SharedLedger(folder / "gates", 0, clock=clock)
        self.accept: Final = self.acceptor()

    def acceptor(
        self, store: Store | None = None, *, quotas: QuotaBook | None = None, contents: ContentBook | None = None
    ) -> Acceptor:
        """Return a station 1 of its own, as another web process has."""
        return Acceptor(
            store or self.store,
            Senders({PROJECT: {SENDER: "Shop"}, OTHER_PROJECT: {SENDER: "Shop"}}),
            self.domains,
            self.pools,
            self.settings,
            clock=self.clock,
            random_bits=random.SystemRandom().getrandbits,
            metrics=self.metrics,
            quotas=quotas,
            contents=contents,
            has_links=bool(self.links_root),
        )

    def preparer(self, keys: SigningKeys | None = None, store: Store | None = None) -> Preparer:
        """Return a station 3."""
        return Preparer(
            store or self.store,
            keys or self.keys,
            OwnReturnPaths(self.links_root),
            clock=self.clock,
            drafts_bytes_max=self.settings.drafts_bytes_max,
        )

    def deliverer(
        self,
        router: Router,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        preparer: Preparer | None = None,
        first_s: float = 60.0,
        owner: UUID | None = None,
        holds: HoldBook | None = None,
        slot_count: int = 1,
        **net: float | str | bool,
    ) -> Deliverer:
        """Return stations 2 to 6, as the next deliver process of the node has them. `net` changes [net].

        `slot_count` such processes share the lanes; with 1 the first takes them all.
        """
        clock, store, owner = clock or self.clock, store or self.store, owner or uuid4()
        preparer = preparer or self.preparer(store=store)
        chance, logger, metrics, ledger = random.Random(7), self.journal.logger, self.metrics, self.ledger
        slots = NodeSlots(ledger, slot=len(self.connections), clock=clock)
        self.connections.append(connections := ConnectionPool(settings_for(**net), clock=clock, slots=slots))
        gates = Gates(
            self.egress,
            self.shaping,
            ledger,
            connections,
            slots,
            exits=self.exits,
            ceilings=self.bounds,
            rates=self.bounds,
            guards=self.guards or self.bounds,
            stops=self.stops or self.bounds,
            clock=clock,
            random=chance,
            logger=logger,
        )
        return LedgeredDeliverer(
            ledger,
            store,
            self.settings,
            keeper=self._keeper(store, owner, preparer, clock, slot_count),
            router=router,
            connections=connections,
            gates=gates,
            holds=holds or HoldBook(store, clock=clock, logger=logger),
            preparer=preparer,
            judge=Judge(
                classifier(),
                self.shaping,
                RetrySettings(first_s=first_s),
                clock=clock,
                random=chance,
                metrics=metrics,
            ),
            settler=Settler(store, self.settings, writer=str(owner), clock=clock, logger=logger, metrics=metrics),
            clock=clock,
            logger=logger,
            metrics=metrics,
        )

    def _keeper(self, store: Store, owner: UUID, preparer: Preparer, clock: Clock, slot_count: int) -> LaneKeeper:
        return LaneKeeper(
            store,
            self.settings,
            owner=owner,
            pools=self.egress.pools_served,
            slot=(len(self.connections) - 1) % slot_count,
            slot_count=slot_count,
            clock=clock,
            logger=self.journal.logger,
            preload=preparer.load,
        )

    async def send(self, *to: str, **changes: Any) -> UUID:
        """Accept a submission and return its session. `accept` must run."""
        accepted: Accepted = await self.accept(PROJECT, submission(*to, **changes))
        assert accepted.session_id is not None, accepted
        return accepted.session_id

    async def recipients(self, session_id: UUID) -> dict[str, Recipient]:
        """Return the session's recipients by address, as they are now."""
        async with self.store.transaction() as tx:
            rows = await recipients.of_message(tx, PROJECT, session_id)
        return {row.address: row for row in rows}

    async def until(
        self, session_id: UUID, is_so: Callable[[Recipient], bool], *, wait_s: float = WAIT_S
    ) -> dict[str, Recipient]:
        """Return the session's recipients by address, as soon as `is_so` for each of them.

        Raises:
            TimeoutError: not within `wait_s`.
        """
        async with asyncio.timeout(wait_s):
            while not all(map(is_so, (found := await self.recipients(session_id)).values())):
                await self.clock.sleep(_POLL_S)
        return found

    async def until_tried(self, session_id: UUID, attempt_count: int = 1) -> dict[str, Recipient]:
        """Return the session's recipients when each was tried so often, or is in a final state."""
        return await self.until(session_id, lambda one: one.attempt >= attempt_count or one.status.is_final)

    async def until_settled(self, session_id: UUID) -> dict[str, Recipient]:
        """Return the session's recipients when none is queued any more."""
        return await self.until(session_id, lambda one: one.status != "queued")

    async def events(self, session_id: UUID) -> Sequence[Event]:
        """Return the session's events, oldest first."""
        async with self.store.transaction() as tx:
            message = await messages.by_id(tx, PROJECT, session_id)
            assert message is not None
            return await events.of_message(tx, PROJECT, session_id, accepted_at=message.accepted_at)

    async def leased_count(self) -> int:
        """Return how many lanes have an owner."""
        async with self.store.transaction() as tx:
            return len(await tx.fetch("SELECT FROM lane WHERE owner IS NOT NULL"))

    def sample(self, name: str, **labels: str) -> float:
        """Return the present value of a metric, 0 if it was never touched."""
        for family in text_string_to_metric_families(self.metrics.render().decode()):
            for one in family.samples:
                if one.name == name and one.labels == labels:
                    return one.value
        return 0.0


async def counts(store: Store) -> dict[str, int]:
    """Return how many rows each table of mail has."""
    text = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) FROM {table}" for table in TABLES)  # noqa: S608 - ours.
    async with store.transaction() as tx:
        return {row["name"]: row["count"] for row in await tx.fetch(text)}


@contextlib.asynccontextmanager
async def running(*parts: Part, wait_s: float = 60.0) -> AsyncIterator[None]:
    """Run `parts` while the block runs; stop them, the last one first, and see that they return.

    Raises:
        TimeoutError: block and stop took over `wait_s` together.
    """
    stop_asked = asyncio.Event()
    async with asyncio.timeout(wait_s), asyncio.TaskGroup() as group:
        group.create_task(run_all(parts, stop_asked))
        yield
        stop_asked.set()


class Line:
    """A way to the database at `dsn`, over a socket of its own in `folder`, that can be cut. A context manager."""

    def __init__(self, dsn: str, folder: Path) -> None:
        parts = urlsplit(dsn)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._server_path: Final = Path(given["host"]) / f"{_SOCKET}{given['port']}"
        self._path: Final = folder / self._server_path.name
        self.dsn: Final = parts._replace(query=f"host={quote(str(folder))}&port={given['port']}").geturl()
        self._listener: asyncio.Server | None = None
        self._talks: Final[set[asyncio.Task[Any]]] = set()
        self._writers: Final[set[asyncio.StreamWriter]] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Let connections be made again."""
        self._listener = await asyncio.start_unix_server(self._carry, self._path)

    async def cut(self) -> None:
        """Tear down every connection and let none be made; return when they are gone. Safe twice."""
        if self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)
        self._listener = None
        for writer in self._writers:
            writer.transport.abort()
        if self._talks:
            await asyncio.wait(self._talks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        both = {writer}
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._server_path)
            both.add(server_writer)
            self._writers.add(server_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, server_writer))
                group.create_task(_pump(server_reader, writer))
        finally:
            self._writers.difference_update(both)
            self._talks.discard(talk)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry octets until this side ends; then end the other."""
    with contextlib.suppress(OSError):
        while octets := await reader.read(_READ_BYTES):
            writer.write(octets)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

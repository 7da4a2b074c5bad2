"""Domains and the name server that their owner publishes in, for the tests of verification."""

import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, RecordKind, RecordState
from outrider.net.dns_query import NameServers
from outrider.net.records import RecordLooker
from outrider.services.dkim_keys import KeyRing
from outrider.services.identity import Identity
from outrider.services.senders import Senders
from outrider.services.settings import IdentitySettings
from outrider.services.verification import Checker, DomainReport, Installation, Verification
from outrider.store import events, notices
from outrider.store.events import Cursor, Event
from outrider.store.notices import Notice
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Node
from outrider.testing.engineroom import Journal

NAME = "mail.shop.example"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTINGS = IdentitySettings(dmarc_reports="dmarc@us.example")
NEWS = (EventKind.DOMAIN_PASSED, EventKind.DOMAIN_FAILED, EventKind.DOMAIN_STOPPED)


class Office:
    """Verification, identity and keys on one store, and the name server that the customer publishes in."""

    def __init__(self, store: Store, clock: FakeClock, *, server: str, settings: IdentitySettings = SETTINGS) -> None:
        self.store = store
        self.clock = clock
        self.zone: dict[str, Node] = {}
        self.settings = settings
        self.server = server
        bits = random.SystemRandom().getrandbits
        self.keys = KeyRing(store, Vault(bytes(range(32))), settings, clock=clock, random_bits=bits)
        self.identity = Identity(store, self.keys, clock=clock, random_bits=bits)
        self.senders = Senders(store, clock=clock, random_bits=bits, shared_bounce_domain="")
        self.journal = Journal()
        self.verification = self.another()

    def another(self, *, is_watching: bool = True, checker: Checker | None = None) -> Verification:
        """Return the same as another worker has it."""
        nameservers = NameServers(self.server, clock=self.clock, wait_s=0.5)
        return Verification(
            self.store,
            self.keys,
            lambda: checker or RecordLooker(nameservers),
            self.settings,
            Installation(mx_host="mx.us.example", sources=("192.0.2.7",), is_watching=is_watching),
            clock=self.clock,
            random_bits=random.SystemRandom().getrandbits,
            logger=self.journal.logger,
        )

    async def publish(self, project_id: UUID, name: str = NAME) -> None:
        """Do what the customer is told to."""
        for record in (await self.verification.report(project_id, name)).records:
            match record.type:
                case "TXT":
                    self.zone[record.host] = node(self.zone.get(record.host), txt=(record.value,))
                case "MX":
                    self.zone[record.host] = node(self.zone.get(record.host), mx=((10, "mx.us.example"),))
                case _:
                    self.zone[record.host] = Node(cname=record.value)

    async def pass_domain(self, project_id: UUID) -> None:
        """Add the domain, publish what it needs and see it pass."""
        await self.identity.add_domain(project_id, NAME, is_verified=False)
        await self.publish(project_id)
        assert (await self.verification.verify(project_id, NAME)).domain.state is RecordState.PASSED

    async def told(self, project_id: UUID) -> list[Notice]:
        """Return the project's notices, oldest first."""
        async with self.store.transaction() as tx:
            return list(reversed(await notices.of_project(tx, project_id, with_seen=True, count_max=100)))

    async def events(self) -> list[Event]:
        """Return what the event log says of domains."""
        async with self.store.transaction() as tx:
            return [one for one in await events.after(tx, Cursor(), count_max=100) if one.kind in NEWS]


def node(old: Node | None, **changes: object) -> Node:
    return msgspec.structs.replace(old or Node(), **changes)


def states(report: DomainReport) -> Mapping[RecordKind, RecordState]:
    return {one.kind: one.state for one in report.records if one.is_required}


@contextlib.asynccontextmanager
async def open_office(store: Store, clock: FakeClock) -> AsyncIterator[Office]:
    """Give an office whose name server answers, with our own mail exchanger in its zone."""
    zone: dict[str, Node] = {}
    async with DnsServer(zone) as server:
        made = Office(store, clock, server=server.address)
        made.zone = zone
        zone["mx.us.example"] = Node(a=("192.0.2.7",))
        yield made

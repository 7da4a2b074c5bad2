"""Hosts in turn, sources, TLS: over real sockets, as a pool sees it; and stopping."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from outrider.base.vocab import Phase
from outrider.net.dialler import STOPPED, Dialler
from outrider.net.pool import Bounds
from outrider.net.site import Host, Site, Way
from outrider.testing.clock import FakeClock
from outrider.testing.delivery import BOUNDS, MAIL, TO, WAY, is_delivered, pool_of, send, settings_for
from outrider.testing.peer import HOST, Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire import dialogue
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, TlsMode

NOBODY = "127.0.0.9"  # Nothing listens there.
ONCE = Bounds("peer", 1)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


def site_of(port: int, *addresses: str) -> Site:
    hosts = tuple(Host(f"mx{number}.peer.example", (address,)) for number, address in enumerate(addresses, 1))
    return Site("mx.peer.example", hosts, port)


# Fail-over.


async def test_the_next_host_is_tried_when_one_cannot_be_reached(peer: Peer) -> None:
    async with pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, NOBODY, peer.address), MAIL)
        assert is_delivered(attempt)
        assert (attempt.host, attempt.ip) == ("mx2.peer.example", peer.address)


@pytest.mark.parametrize(
    ("stage", "move"),
    [
        (Stage.GREETING, Move(Act.SAY, b"554 5.3.2 no service\r\n")),
        (Stage.GREETING, Move(Act.SAY, b"421 4.3.2 too busy\r\n")),
        (Stage.GREETING, Move(Act.DROP)),
        (Stage.EHLO, Move(Act.SAY, b"451 4.3.0 later\r\n")),
        (Stage.EHLO, Move(Act.GARBAGE)),
        (Stage.STARTTLS, Move(Act.DROP)),
    ],
)
async def test_the_next_host_is_tried_when_one_fails_before_mail(peer: Peer, stage: Stage, move: Move) -> None:
    broken = Script(tls=TlsKind.GOOD, moves={stage: move})
    async with Peer(broken, address="127.0.0.2", port=peer.port) as bad, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, bad.address, peer.address), MAIL)
        assert is_delivered(attempt)
        assert attempt.ip == peer.address
        assert bad.connection_count == 1


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_what_fails_from_mail_on_stays_with_its_host(peer: Peer, stage: Stage) -> None:
    broken = Script(moves={stage: Move(Act.SAY, b"451 4.3.0 later\r\n")})
    async with Peer(broken, address="127.0.0.2", port=peer.port) as bad, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, bad.address, peer.address), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), Reply(451, "4.3.0", "later"))}
        assert attempt.ip == bad.address
        assert peer.connection_count == 0


async def test_a_host_that_failed_is_tried_last_until_it_is_forgiven(peer: Peer) -> None:
    clock, refusing = FakeClock(), Script(moves={Stage.GREETING: Move(Act.SAY, b"554 no\r\n")})
    site = site_of(peer.port, "127.0.0.2", peer.address)
    async with (
        Peer(refusing, address="127.0.0.2", port=peer.port) as bad,
        pool_of(clock=clock, host_bad_s=60) as pool,
    ):
        for later_s, refused_count in [(0, 1), (59, 1), (2, 2)]:
            clock.advance(later_s)
            assert is_delivered(await send(pool, site, MAIL, bounds=ONCE))
            assert bad.connection_count == refused_count


async def test_no_more_than_five_addresses_are_tried(peer: Peer) -> None:
    site = site_of(peer.port, *(f"127.0.0.{number}" for number in range(20, 25)), peer.address)
    async with pool_of() as pool:
        attempt = await send(pool, site, MAIL)
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.REFUSED)}
        assert is_delivered(await send(pool, site, MAIL))  # Those five are now tried last.


@pytest.mark.parametrize("hosts", [(), (Host("mx.peer.example", ()),)])
async def test_a_site_without_addresses_has_its_own_cause(hosts: tuple[Host, ...]) -> None:
    async with pool_of() as pool:
        attempt = await send(pool, Site("x", hosts), MAIL)
        assert attempt.answers == {TO: Answer(Phase.ROUTE, None, Cause.NO_HOST)}
        assert attempt.ip == ""


async def test_a_wrong_password_is_not_tried_on_every_host(peer: Peer) -> None:
    script = Script(mechanisms=("PLAIN",), moves={Stage.AUTH: Move(Act.SAY, b"535 5.7.8 no\r\n")})
    peer.script = script
    async with Peer(script, address="127.0.0.2", port=peer.port) as other, pool_of() as pool:
        credentials = Credentials("user", "wrong", may_go_plain=True)
        site = msgspec.structs.replace(site_of(peer.port, peer.address, other.address), credentials=credentials)
        attempt = await send(pool, site, MAIL)
        assert attempt.answers == {TO: Answer(Phase.AUTH, Reply(535, "5.7.8", "no"))}
        assert other.connection_count == 0


# TLS.


async def test_tls_is_noted_in_the_attempt(peer: Peer) -> None:
    peer.script = Script(tls=TlsKind.GOOD)
    async with pool_of() as pool:
        for _ in range(2):
            assert (await send(pool, peer.site(), MAIL)).tls == "TLSv1.3"


@pytest.mark.parametrize("kind", [TlsKind.BROKEN, TlsKind.HANGUP])
async def test_broken_tls_is_remembered_where_it_was_a_favour(peer: Peer, kind: TlsKind) -> None:
    clock = FakeClock()
    peer.script = Script(tls=kind)
    async with pool_of(clock=clock, tls_broken_s=3600) as pool:
        for later_s, tried_count in [(0, 1), (3599, 1), (2, 2)]:
            clock.advance(later_s)
            attempt = await send(pool, peer.site(), MAIL, bounds=ONCE)
            assert is_delivered(attempt)
            assert attempt.tls == ""
            assert peer.commands.count("STARTTLS") == tried_count


@pytest.mark.parametrize("kind", [TlsKind.NONE, TlsKind.BROKEN, TlsKind.HANGUP, TlsKind.GOOD])
async def test_nothing_is_sent_where_tls_is_required_and_fails(peer: Peer, kind: TlsKind) -> None:
    peer.script = Script(tls=kind)  # GOOD: of a stranger's signature.
    async with pool_of() as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
    assert not any(line.startswith("MAIL") for line in peer.commands)


async def test_bounds_can_ask_for_tls_that_nobody_checks(peer: Peer) -> None:
    bounds = msgspec.structs.replace(BOUNDS, tls=TlsMode.REQUIRED_UNVERIFIED)
    async with pool_of() as pool:
        peer.script = Script(tls=TlsKind.GOOD)
        attempt = await send(pool, peer.site(), MAIL, bounds=bounds)
        assert is_delivered(attempt)
        assert (attempt.tls, attempt.certificate) == ("TLSv1.3", HOST)
    async with pool_of() as pool:
        peer.script = Script()
        attempt = await send(pool, peer.site(), MAIL, bounds=bounds)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}


# Sources.


async def test_mail_comes_from_the_source_and_by_its_name(peer: Peer) -> None:
    async with pool_of() as pool:
        for way in (Way("a", "127.0.0.3", "a.example"), Way("b", "127.0.0.4", "b.example"), Way("c")):
            attempt = await send(pool, peer.site(), MAIL, way=way)
            assert attempt.source == way.source
            assert dialogue.decode(attempt.dialogue).source == (way.address or "127.0.0.1")
    hellos = [line for line in peer.commands if line.startswith("EHLO")]
    assert hellos == ["EHLO a.example", "EHLO b.example", "EHLO us.example"]


async def test_a_source_goes_to_hosts_of_its_family_only(peer: Peer) -> None:
    async with pool_of() as pool:
        both = Site("both", (Host("six", ("::1",)), Host("four", (peer.address,))), peer.port)
        attempt = await send(pool, both, MAIL, way=Way("four", "127.0.0.3"))
        assert is_delivered(attempt)
        assert attempt.host == "four"
        for way in (Way("six", "::1"), Way("four", "127.0.0.3")):
            other = site_of(peer.port, peer.address if ":" in way.address else "::1")
            attempt = await send(pool, other, MAIL, way=way)
            assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.UNREACHABLE)}
            assert (attempt.source, attempt.host) == (way.source, "")


async def test_a_host_is_bad_for_the_source_that_found_it_so(peer: Peer) -> None:
    site = site_of(peer.port, "127.0.0.2", peer.address)
    async with Peer(address="127.0.0.2", port=peer.port) as picky, pool_of(clock=FakeClock()) as pool:
        picky.script = Script(moves={Stage.GREETING: Move(Act.SAY, b"554 not you\r\n", times_max=1)})
        assert (await send(pool, site, MAIL, way=Way("a"), bounds=ONCE)).ip == peer.address
        assert (await send(pool, site, MAIL, way=Way("b"), bounds=ONCE)).ip == picky.address
        assert (await send(pool, site, MAIL, way=Way("a"), bounds=ONCE)).ip == peer.address


# The dialogue.


async def test_hosts_that_failed_are_told_in_the_dialogue(peer: Peer) -> None:
    refusing = Script(moves={Stage.GREETING: Move(Act.SAY, b"554 no\r\n")})
    async with Peer(refusing, address="127.0.0.2", port=peer.port) as bad, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, NOBODY, bad.address, peer.address), MAIL)
    tried = [step.cause for step in dialogue.decode(attempt.dialogue).steps if step.word == dialogue.TRIED]
    assert tried == [f"mx1.peer.example {NOBODY} connect refused", "mx2.peer.example 127.0.0.2 greeting 554"]
    assert dialogue.decode(attempt.dialogue).steps[-1].word == "dot"


async def test_an_attempt_that_found_nobody_has_a_dialogue_too() -> None:
    async with pool_of() as pool:
        attempt = await send(pool, site_of(2, NOBODY), MAIL)
    assert attempt.ip == NOBODY
    assert [(step.word, step.cause) for step in dialogue.decode(attempt.dialogue).steps] == [("connect", "refused")]


async def test_once_stopped_nobody_is_asked(peer: Peer) -> None:
    dialler = Dialler(settings_for(), clock=FakeClock())
    dialler.stop()
    assert await dialler.open(peer.site(), WAY, TlsMode.NEVER) == STOPPED
    assert peer.connection_count == 0

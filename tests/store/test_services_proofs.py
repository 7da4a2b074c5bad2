"""Proof of a mailbox by link: once, for a day, for one project, by who reads the mail; and no flood of strangers."""

import hashlib
import random
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, ForbiddenError, LimitReachedError, NotFoundError
from outrider.base.vocab import Stream
from outrider.engine.accept import Acceptor
from outrider.engine.submission import Accepted, Rejected, Submission
from outrider.mail import address
from outrider.services.proofs import LIFE, Proofs
from outrider.services.senders import Senders
from outrider.store import domains, messages, senders
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.senders import Sender
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import EngineRoom, running
from outrider.testing.mailroom import Mailroom
from tests.store.racing import held_up

pytestmark = pytest.mark.newest

ANN = "Ann@gmail.test"
ROOT = "https://mail.platform.example"
random_bits = random.SystemRandom().getrandbits


class Post:
    """Takes what is mailed, or answers as a test says."""

    def __init__(self) -> None:
        self.taken: list[tuple[UUID, Submission]] = []
        self.answer: Accepted | Exception = Accepted(UUID(int=1), 1)

    async def __call__(self, project_id: UUID, submission: Submission, *, idempotency_key: str = "") -> Accepted:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.taken.append((project_id, submission))
        return self.answer

    @property
    def token(self) -> str:
        """The token of the newest link."""
        (found,) = re.findall(rf"^{ROOT}/senders/prove\?token=(\S+)$", self.taken[-1][1].text or "", re.MULTILINE)
        return str(found)


class Office:
    """Two projects with a domain and a sender each."""

    def __init__(self, store: Store, clock: FakeClock, shop: UUID, other: UUID) -> None:
        self.store, self.clock, self.shop, self.other = store, clock, shop, other
        self.post = Post()
        self.proofs = self.desk()
        self.senders = Senders(store, clock=clock, random_bits=random_bits)

    def desk(self, *, is_on: bool = True, root: str = ROOT) -> Proofs:
        return Proofs(self.store, self.post, clock=self.clock, random_bits=random_bits, is_on=is_on, root=root)

    async def sender(self, text: str = ANN, project_id: UUID | None = None) -> Sender | None:
        async with self.store.transaction() as tx:
            return await senders.by_key(tx, project_id or self.shop, address.parse(text).key)

    async def is_proven(self, text: str = ANN, project_id: UUID | None = None) -> bool:
        found = await self.sender(text, project_id)
        return found is not None and found.proven_at is not None


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> Office:
    made = Office(store, clock, await mailroom.project("Ann's Shop"), await mailroom.project("other"))
    for project_id, name in ((made.shop, "shop.example"), (made.other, "other.example")):
        async with store.transaction() as tx:
            await domains.insert(tx, Domain(mailroom.new_id(), project_id, name, clock.now(), clock.now()))
        await made.senders.add(project_id, f"noreply@{name}", "")
    return made


async def test_who_reads_the_mail_can_say_yes(office: Office) -> None:
    offered = await office.proofs.offer(office.shop, ANN)
    assert (offered.address, offered.domain, offered.domain_id, offered.may_send) == (ANN, "gmail.test", None, False)
    ((project_id, mail),) = office.post.taken
    assert (project_id, mail.sender, mail.recipients) == (office.shop, "noreply@shop.example", (ANN,))
    assert mail.stream is Stream.TRANSACTIONAL
    assert mail.subject == "May Ann's Shop send mail in your name?"
    assert ANN in (mail.text or "")
    seen = await office.proofs.look(office.post.token)
    assert (seen.project, seen.address, seen.project_id) == ("Ann's Shop", ANN, office.shop)
    assert not await office.is_proven(), "looking changes nothing"
    assert (await office.proofs.confirm(office.post.token)).address == ANN
    assert await office.is_proven()
    assert (await office.proofs.offer(office.shop, ANN)).may_send, "safe twice"
    assert len(office.post.taken) == 1


async def test_the_link_itself_is_not_kept(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    async with office.store.transaction() as tx:
        (row,) = await tx.fetch("SELECT proof_hash, s::text AS text FROM sender s WHERE proof_hash IS NOT NULL")
    assert row["proof_hash"] == hashlib.sha256(office.post.token.encode()).digest()
    assert office.post.token not in row["text"]


async def refused(office: Office, token: str) -> None:
    for work in (office.proofs.look(token), office.proofs.confirm(token)):
        with pytest.raises(NotFoundError):
            await work


async def test_a_link_works_once(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    await office.proofs.confirm(office.post.token)
    await refused(office, office.post.token)


async def test_of_two_who_use_it_at_once_one_does(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)

    async def confirm() -> bool:
        try:
            await office.proofs.confirm(office.post.token)
        except NotFoundError:
            return False
        return True

    assert sorted(await held_up(office.store, "sender", [confirm(), confirm()])) == [False, True]


async def test_a_link_expires(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    office.clock.advance(LIFE.total_seconds() - 1)
    await office.proofs.look(office.post.token)
    office.clock.advance(1)
    await refused(office, office.post.token)
    assert not await office.is_proven()


async def test_a_newer_link_replaces_it(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    first = office.post.token
    office.clock.advance(limits.PROOF_AGAIN_S)
    await office.proofs.offer(office.shop, ANN)
    assert office.post.token != first
    await refused(office, first)
    await office.proofs.confirm(office.post.token)


async def test_a_forgotten_sender_takes_its_link_along(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    office.clock.advance(limits.PROOF_AGAIN_S)
    await office.senders.remove(office.shop, ANN)
    await refused(office, office.post.token)


async def test_a_link_of_another_project_proves_nothing_here(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    of_shop = office.post.token
    await office.proofs.offer(office.other, ANN)
    await office.proofs.confirm(of_shop)
    assert await office.is_proven()
    assert not await office.is_proven(ANN, office.other)
    assert (await office.proofs.look(office.post.token)).project_id == office.other


@pytest.mark.parametrize(
    "token", ["", "x", "x" * 43, "x" * 44, "é" * 43, "\x00" * 43, "\ud800" * 43, "'; --" + "x" * 38, "x" * 100_000]
)
async def test_what_is_no_link_of_ours_is_refused(office: Office, token: str) -> None:
    await office.proofs.offer(office.shop, ANN)
    await refused(office, token)


@pytest.mark.parametrize(
    "text", ["", "no at", "a\r\nb@gmail.test", "<a@gmail.test>", "a@gmail.test, b@gmail.test", "a@x"]
)
async def test_what_is_no_address_is_refused(office: Office, text: str) -> None:
    with pytest.raises(CallerError) as caught:
        await office.proofs.offer(office.shop, text)
    assert caught.value.field == "address"
    assert office.post.taken == []


async def test_it_is_off_unless_the_operator_wants_it(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    off = office.desk(is_on=False)
    with pytest.raises(ForbiddenError) as caught:
        await off.offer(office.shop, "ben@gmail.test")
    assert "mailbox_proof" in caught.value.public
    with pytest.raises(NotFoundError):
        await off.confirm(office.post.token)


async def test_without_an_address_for_the_link_none_is_mailed(office: Office) -> None:
    with pytest.raises(CallerError) as caught:
        await office.desk(root="").offer(office.shop, ANN)
    assert "[faces] public_url" in caught.value.public
    assert await office.sender() is None


async def test_an_address_on_a_domain_of_the_projects_needs_none(office: Office) -> None:
    with pytest.raises(CallerError) as caught:
        await office.proofs.offer(office.shop, "new@shop.example")
    assert "outrider sender add" in caught.value.public
    assert (await office.proofs.offer(office.other, "new@shop.example")).domain_id is None, "another project's domain"


async def test_without_a_sender_of_its_own_a_project_can_mail_none(office: Office) -> None:
    await office.senders.change(office.shop, "noreply@shop.example", {"is_enabled": False})
    with pytest.raises(CallerError) as caught:
        await office.proofs.offer(office.shop, ANN)
    assert "no sender on a domain of its own" in caught.value.public
    assert await office.sender() is None


# Floods.


async def test_a_stranger_gets_one_mail_an_hour_even_if_forgotten_between(office: Office) -> None:
    await office.proofs.offer(office.shop, ANN)
    for text in (ANN, "ANN@gmail.test"):
        with pytest.raises(LimitReachedError) as caught:
            await office.proofs.offer(office.shop, text)
        assert caught.value.retry_after_s == pytest.approx(limits.PROOF_AGAIN_S)
    with pytest.raises(LimitReachedError):
        await office.senders.remove(office.shop, ANN)
    assert len(office.post.taken) == 1


async def test_of_two_who_ask_at_once_one_is_too_early(office: Office) -> None:
    async def offer() -> bool:
        try:
            await office.proofs.offer(office.shop, ANN)
        except LimitReachedError:
            return False
        return True

    assert sorted(await held_up(office.store, "sender", [offer(), offer()])) == [False, True]
    assert len(office.post.taken) == 1


async def test_a_project_has_so_many_links_on_their_way(office: Office) -> None:
    for number in range(limits.PROOF_OFFERED_COUNT_MAX):
        await office.proofs.offer(office.shop, f"a{number}@gmail.test")
    with pytest.raises(LimitReachedError):
        await office.proofs.offer(office.shop, ANN)
    await office.proofs.offer(office.other, ANN)
    office.clock.advance(LIFE.total_seconds())
    await office.proofs.offer(office.shop, ANN)


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (Accepted(None, 0, (Rejected(ANN, "recipient suppressed"),)), CallerError),
        (BusyError("Later."), BusyError),
        (RuntimeError("bug"), RuntimeError),
    ],
)
async def test_a_mail_that_is_not_taken_takes_its_link_back(
    office: Office, answer: Accepted | Exception, raised: type[Exception]
) -> None:
    office.post.answer = answer
    with pytest.raises(raised):
        await office.proofs.offer(office.shop, ANN)
    found = await office.sender()
    assert found is not None
    assert found.proof_expires_at is None
    office.post.answer = Accepted(UUID(int=1), 1)
    await office.proofs.offer(office.shop, ANN)  # At once: nobody was mailed anything.
    await office.proofs.confirm(office.post.token)


async def test_the_mail_to_a_stranger_holds_little_that_somebody_chose(
    office: Office, mailroom: Mailroom, clock: FakeClock
) -> None:
    shop = await mailroom.project("x\r\nBcc: eve@evil.example\u202e" + "y" * 300)
    async with office.store.transaction() as tx:
        await domains.insert(tx, Domain(mailroom.new_id(), shop, "long.example", clock.now(), clock.now()))
    await office.senders.add(shop, "noreply@long.example", "")
    await office.proofs.offer(shop, ANN)
    mail = office.post.taken[-1][1]
    assert mail.subject == f"May xBcc: eve@evil.example{'y' * 38} send mail in your name?"
    assert mail.subject.isprintable()
    assert "y" * 50 not in (mail.text or "")


# With the real way in.


@pytest.fixture
async def real(office: Office, room: EngineRoom) -> AsyncIterator[Proofs]:
    accept = Acceptor(
        office.store,
        office.senders,
        room.domains,
        room.pools,
        room.settings,
        clock=office.clock,
        random_bits=random_bits,
        metrics=room.metrics,
    )
    async with running(accept):
        yield Proofs(office.store, accept, clock=office.clock, random_bits=random_bits, is_on=True, root=ROOT)


async def test_the_mail_is_accepted_as_any_other(office: Office, real: Proofs) -> None:
    await real.offer(office.shop, ANN)
    async with office.store.transaction() as tx:
        (row,) = await tx.fetch("SELECT message_id FROM message")
        loaded = (await messages.load(tx, [row["message_id"]]))[row["message_id"]]
    (token,) = re.findall(r"token=(\S+)", loaded.body.text or "")
    await real.confirm(token)
    assert await office.is_proven()


async def test_a_suppressed_mailbox_is_left_alone(office: Office, real: Proofs) -> None:
    async with office.store.transaction() as tx:
        await tx.execute(
            """INSERT INTO suppression (project_id, address_key, scope, reason, origin, created_at)
               VALUES ($1, $2, 'all', 'unsubscribe', 'request', $3)""",
            office.shop,
            address.parse(ANN).key,
            office.clock.now(),
        )
    with pytest.raises(CallerError) as caught:
        await real.offer(office.shop, ANN)
    assert "recipient suppressed" in caught.value.public

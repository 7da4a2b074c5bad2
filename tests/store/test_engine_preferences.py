"""What readers want: the table of `engine.preferences`, row by row, and what is on record of each word."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from outrider.base.vocab import (
    EventKind,
    LeavingReason,
    Stream,
    SubscriptionState,
    SuppressionOrigin,
    SuppressionScope,
)
from outrider.engine import preferences
from outrider.engine.preferences import Reader, Word
from outrider.store import events, projects, suppressions, topics
from outrider.store.events import Event
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.suppressions import EVERYBODY, Asked, Suppression
from outrider.store.topics import Topic
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest

SHOP: Final = UUID(int=7)
ANN: Final = "ann@a.example"
READER: Final = Reader(project_id=SHOP, address_key=ANN, client="192.0.2.7", how="by the link in the mail")
YES, NO, NEVER = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED, SubscriptionState.BLOCKED
LISTS: Final = ("A", "B", "")  # Two topics, and mail of no list.


class Desk:
    """Ann, her words, and what she gets."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock = store, clock

    async def say(self, word: str, word_why: Word = preferences.SILENT) -> None:
        """Do what a word of the table says: "leave A", "leave all", "choose A not B", "come back A"."""
        verb, *rest = word.split()
        now = self.clock.now()
        async with self.store.transaction() as tx:
            match verb, rest:
                case "leave", [name]:
                    await preferences.leave(tx, READER, "" if name == "all" else name, word_why, now=now)
                case "choose", [*names]:
                    on = names[: names.index("not")] if "not" in names else names
                    wanted = {name: name in on for name in names if name != "not"}
                    await preferences.choose(tx, READER, wanted, word_why, now=now)
                case "back", names:
                    await preferences.come_back(tx, READER, "".join(names), now=now)
                case _:
                    raise AssertionError(word)

    async def put(self, **changes: Any) -> None:
        values = {
            "project_id": SHOP,
            "address_key": ANN,
            "scope": SuppressionScope.STREAM,
            "subject": "marketing",
            "reason": "unsubscribe",
            "origin": SuppressionOrigin.REQUEST,
            "created_at": self.clock.now(),
        }
        async with self.store.transaction() as tx:
            await suppressions.put(tx, [Suppression(**values | changes)])

    async def states(self) -> list[SubscriptionState]:
        """Return what she gets of each of `LISTS`; mail is accepted just so."""
        now = self.clock.now()
        async with self.store.transaction() as tx:
            choices = await preferences.choices_of(tx, READER, now=now)
            asked = {name: Asked(SHOP, ANN, Stream.MARKETING, "shop.example", name) for name in LISTS}
            stopped = await suppressions.among(tx, list(asked.values()), now=now)
        found = {one.name: one.state for one in choices.topics} | {"": choices.marketing}
        assert {name for name in LISTS if asked[name] in stopped} == {name for name in LISTS if found[name] is not YES}
        return [found[name] for name in LISTS]

    async def entries(self) -> list[Suppression]:
        async with self.store.transaction() as tx:
            return await suppressions.of_address(tx, SHOP, ANN)

    async def log(self) -> list[Event]:
        async with self.store.transaction() as tx:
            return list(await events.of_message(tx, SHOP, UUID(int=0), accepted_at=self.clock.now()))


@pytest.fixture
async def desk(store: Store, clock: FakeClock) -> Desk:
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(SHOP, "shop"), now=clock.now())
        for name in "AB":
            await topics.insert(tx, SHOP, Topic(name=name, title=f"Letter {name}", created_at=clock.now()))
    return Desk(store, clock)


@pytest.mark.parametrize(
    ("words", "states"),
    [
        ("", [YES, YES, YES]),
        ("leave A", [NO, YES, YES]),
        ("leave all", [NO, NO, NO]),
        ("choose A not B", [YES, NO, YES]),
        ("choose not A B", [NO, NO, YES]),
        ("back A", [YES, YES, YES]),
        ("leave A, leave A", [NO, YES, YES]),
        ("leave A, leave all", [NO, NO, NO]),
        ("leave A, choose A not B", [YES, NO, YES]),
        ("leave A, back A", [YES, YES, YES]),
        ("leave A, back", [NO, YES, YES]),
        ("leave all, leave A", [NO, NO, NO]),
        ("leave all, choose A not B", [YES, NO, NO]),
        ("leave all, choose A B", [YES, YES, NO]),
        ("leave all, choose not A B", [NO, NO, NO]),
        ("leave all, back", [YES, YES, YES]),
        ("leave A, leave all, back B", [NO, YES, YES]),
        ("leave all, back A", [YES, YES, YES]),
        ("leave A, leave all, choose A", [YES, NO, NO]),
        ("leave all, choose A, leave A", [NO, NO, NO]),
        ("leave all, choose A, choose not A", [NO, NO, NO]),
        ("leave all, choose A, leave all", [NO, NO, NO]),
        ("leave all, choose A, choose B", [YES, YES, NO]),
        ("leave all, choose A, back", [YES, YES, YES]),
        ("leave all, choose A, leave A, choose A", [YES, NO, NO]),
        ("leave all, choose A, leave A, back", [NO, YES, YES]),
    ],
)
async def test_the_table(desk: Desk, words: str, states: list[SubscriptionState]) -> None:
    for word in filter(None, words.split(", ")):
        await desk.say(word)
    assert await desk.states() == states


@pytest.mark.parametrize(
    "entry",
    [
        {"reason": "complaint"},
        {"origin": SuppressionOrigin.OPERATOR},
        {"scope": SuppressionScope.ALL, "subject": ""},
        {"project_id": EVERYBODY},
    ],
)
@pytest.mark.parametrize("word", ["back", "back A", "choose A B", "choose A not B", "leave A", "leave all"])
async def test_no_word_of_the_readers_lifts_what_is_not_the_readers(
    desk: Desk, entry: dict[str, Any], word: str
) -> None:
    await desk.put(**entry)
    before = await desk.entries()
    await desk.say(word)
    assert await desk.states() == [NEVER, NEVER, NEVER]
    assert (await desk.entries(), await desk.log()) == (before, [])


async def test_who_left_and_then_complained_does_not_come_back(desk: Desk) -> None:
    await desk.say("leave all")
    await desk.say("choose A")
    await desk.put(reason="complaint")
    for word in ("back", "choose A B"):
        await desk.say(word)
    assert await desk.states() == [NEVER, NEVER, NEVER]


async def test_an_address_that_bounces_has_said_nothing(desk: Desk) -> None:
    await desk.put(scope=SuppressionScope.ALL, subject="", reason="recipient.full", origin=SuppressionOrigin.REPLY)
    async with desk.store.transaction() as tx:
        assert (await preferences.choices_of(tx, READER, now=desk.clock.now())).marketing is YES
        assert await preferences.leave(tx, READER, "", now=desk.clock.now())
        assert not await preferences.leave(tx, READER, "", now=desk.clock.now())


async def test_what_ends_by_itself_is_shown_and_does_not_stand_in_for_leaving(desk: Desk) -> None:
    await desk.put(expires_at=desk.clock.now() + timedelta(days=30))
    assert await desk.states() == [NO, NO, NO]
    await desk.say("leave all")
    desk.clock.advance(31 * 86_400)
    assert await desk.states() == [NO, NO, NO]


async def test_a_domains_entry_is_not_the_whole(desk: Desk) -> None:
    reader = Reader(project_id=SHOP, address_key=ANN, sender_domain="shop.example", how="by the link in the mail")
    await desk.put(scope=SuppressionScope.DOMAIN, subject="shop.example")
    async with desk.store.transaction() as tx:
        assert (await preferences.choices_of(tx, reader, now=desk.clock.now())).marketing is NEVER
        assert await preferences.leave(tx, reader, "", now=desk.clock.now())


async def test_each_word_is_on_record_once(desk: Desk) -> None:
    why = Word(why=LeavingReason.TOO_MANY, said=" Three\na \x00day\x1b[31m " + "x" * 1000)
    await desk.say("leave A", why)
    await desk.say("leave A", why)
    (entry,) = await desk.entries()
    assert entry.evidence.startswith("by the link in the mail: too many mails; Three a day [31m xxx")
    assert len(entry.evidence) == 500
    await desk.say("choose A not B")
    await desk.say("leave all")
    await desk.say("back")
    told = [(one.kind, {**one.facts} | {"said": ""}) for one in await desk.log()]
    facts = {"client": "192.0.2.7", "address": ANN, "said": ""}
    assert told == [
        (EventKind.UNSUBSCRIBED, facts | {"suppressed": "list", "list": "A", "why": "too_many"}),
        (EventKind.UNSUBSCRIBED, facts | {"suppressed": "list", "list": "B"}),
        (EventKind.RESUBSCRIBED, facts | {"suppressed": "list", "list": "A"}),
        (EventKind.UNSUBSCRIBED, facts | {"suppressed": "stream"}),
        (EventKind.RESUBSCRIBED, facts | {"suppressed": "stream"}),
    ]
    async with desk.store.transaction() as tx:
        past = await suppressions.past(tx, SHOP, ANN)
    assert {one.removed_why for one in past} == {
        "the reader took it back by the link in the mail",
        "the reader chose it by the link in the mail",
    }

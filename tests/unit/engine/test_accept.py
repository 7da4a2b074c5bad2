"""What station 1 refuses before it asks the database for anything.

The store is never opened, so whatever touched it would answer `StoreUnavailableError`: each test that sees another
error has also seen that nothing was stored. What is accepted is in tests/store/test_engine_accept.py.
"""

from typing import Any
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError, StoreUnavailableError
from outrider.engine.submission import Accepted, Rejected
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom, submission

LINE_ENDS = ["\r", "\n", "\r\nBcc: all@a.example", "\x00", "\u2028", "\u0085", "\ud800"]


@pytest.fixture
def room() -> EngineRoom:
    return EngineRoom(Store("postgresql://nobody@/nowhere", StoreSettings()), FakeClock())


async def refusal(room: EngineRoom, *, key: str = "", project_id: UUID = PROJECT, **changes: Any) -> CallerError:
    with pytest.raises(CallerError) as caught:
        await room.accept(project_id, submission(**changes), idempotency_key=key)
    assert room.sample("outrider_accepted_recipients_total") == 0
    return caught.value


async def test_the_set_up_is_fine_so_a_refusal_is_for_the_reason_given(room: EngineRoom) -> None:
    with pytest.raises(StoreUnavailableError):
        await room.accept(PROJECT, submission(subject="x" * 200, from_name="y" * 200), idempotency_key="k" * 255)


@pytest.mark.parametrize("count", [0, 101, 5000])
async def test_between_1_and_100_recipients(room: EngineRoom, count: int) -> None:
    error = await refusal(room, recipients=tuple(f"u{n}@a.example" for n in range(count)))
    assert (type(error), error.field) == (CallerError, "recipients")
    assert str(count) in error.public


async def test_duplicates_do_not_make_room_for_a_101st(room: EngineRoom) -> None:
    assert (await refusal(room, recipients=("ann@a.example",) * 101)).field == "recipients"


@pytest.mark.parametrize("subject", ["", " ", "\u00a0\u2003 ", "x" * 201, *(f"a{end}b" for end in LINE_ENDS)])
async def test_a_subject_that_no_header_can_carry(room: EngineRoom, subject: str) -> None:
    error = await refusal(room, subject=subject)
    assert (type(error), error.field) == (CallerError, "subject")


@pytest.mark.parametrize(
    "name",
    [
        *(f"Shop{end}" for end in LINE_ENDS),
        "x" * 201,
        "Your Bank <service@bank.example>",
        "Shop \u202egro.knab",
        "Shop \u2066x\u2069",
    ],
)
async def test_a_name_that_shows_something_else(room: EngineRoom, name: str) -> None:
    error = await refusal(room, from_name=name)
    assert (type(error), error.field) == (CallerError, "from_name")


@pytest.mark.parametrize("field", ["campaign", "list_name"])
@pytest.mark.parametrize("name", [*(f"Spring{end}" for end in LINE_ENDS), " spring", "spring ", " ", "x" * 101, "a\tb"])
async def test_a_campaign_or_list_that_cannot_be_told_from_another(room: EngineRoom, field: str, name: str) -> None:
    error = await refusal(room, **{field: name})
    assert (type(error), error.field) == (CallerError, field)
    with pytest.raises(StoreUnavailableError):
        await room.accept(PROJECT, submission(**{field: "Frühling \u2600 {0}'; --" + "x" * 79}))


@pytest.mark.parametrize(
    ("text", "html"),
    [(None, None), ("", None), (None, ""), ("", ""), (" \r\n\t", "\u00a0"), ("a\x00b", None), ("ok", "<p>\x00</p>")],
)
async def test_content_that_is_none(room: EngineRoom, text: str | None, html: str | None) -> None:
    error = await refusal(room, text=text, html=html)
    assert (type(error), error.field) == (CallerError, "content")


@pytest.mark.parametrize(("text", "html"), [("\ud800", None), ("ok", "<p>\udfff</p>")])
async def test_half_a_character_is_no_content(room: EngineRoom, text: str, html: str | None) -> None:
    assert (await refusal(room, text=text, html=html)).field == "content"


async def test_content_is_measured_in_bytes_over_both_parts(room: EngineRoom) -> None:
    half = "é" * (limits.CONTENT_BYTES_MAX // 4)  # Two bytes each.
    assert len(half) * 2 < limits.CONTENT_BYTES_MAX, "in characters there is room left"
    assert (await refusal(room, text=half, html=half + "x")).field == "content"
    with pytest.raises(StoreUnavailableError):
        await room.accept(PROJECT, submission(text=half, html=half))


@pytest.mark.parametrize(
    "sender", ["", "shop", "@shop.example", "a@b@shop.example", "Shop <noreply@shop.example>", "a\r\n@shop.example"]
)
async def test_a_sender_that_is_no_address(room: EngineRoom, sender: str) -> None:
    error = await refusal(room, sender=sender)
    assert (type(error), error.field) == (CallerError, "sender")


async def test_a_sender_that_is_not_known_and_one_of_another_project_are_told_the_same(room: EngineRoom) -> None:
    unknown = await refusal(room, sender="other@shop.example")
    foreign = await refusal(room, project_id=UUID(int=3))
    assert type(unknown) is type(foreign) is NotFoundError
    assert (unknown.field, unknown.public) == (foreign.field, foreign.public) == ("sender", foreign.public)


@pytest.mark.parametrize("key", ["k" * 256, "a\nb", "a\x00", "\ud800"])
async def test_a_key_that_cannot_be_kept(room: EngineRoom, key: str) -> None:
    error = await refusal(room, key=key)
    assert (type(error), error.field) == (CallerError, "idempotency_key")


BAD = ["", "ann", "ann@", "@a.example", "a b@a.example", "ann@a.example\r\nRCPT TO:<x@b.example>", "ann@a\x00.example"]
BAD += ["Ann <ann@a.example>", "ann@a.example, bob@a.example", "ann@[127.0.0.1]", "ann@localhost", "\ud800@a.example"]


@pytest.mark.parametrize("key", ["", "once"])
async def test_when_every_recipient_is_bad_there_is_no_session(room: EngineRoom, key: str) -> None:
    wanted = tuple(one for one in BAD if one.isprintable() or not key)
    accepted = await room.accept(PROJECT, submission(recipients=wanted), idempotency_key=key)
    assert (accepted.session_id, accepted.recipient_count) == (None, 0)
    assert [one.address for one in accepted.rejected] == list(wanted)
    assert all(one.reason.startswith("invalid address: ") for one in accepted.rejected)
    assert room.sample("outrider_rejected_recipients_total") == len(wanted)


async def test_a_bad_recipient_given_twice_is_told_once(room: EngineRoom) -> None:
    accepted = await room.accept(PROJECT, submission(recipients=("ann", "ann")))
    assert accepted == Accepted(None, 0, (Rejected("ann", "invalid address: no @"),))

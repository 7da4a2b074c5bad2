"""A transcript: one line says where it went, then what was said, or the last word of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind
from outrider.engine import transcript
from outrider.store.events import Cursor, Event

AT = datetime(2026, 11, 27, 14, 5, 10, tzinfo=UTC)


def event(reply: str = "", attempt: int = 0, **facts: Any) -> Event:
    kind, reason = (EventKind.DEFERRED, "greylisted") if attempt else (EventKind.ACCEPTED, "")
    return Event(Cursor(1, 1), AT, UUID(int=1), UUID(int=2), UUID(int=3), kind, attempt, reason, reply, facts)


def lines(one: Event) -> list[str]:
    return transcript.dialogue_lines(one, sender="a@shop.example", recipient="b@b.example")


def test_a_headline_says_from_where_to_where_and_who_judged() -> None:
    one = event(
        "450 later", 2, source="mta1-a", host="mx.b.example", ip="192.0.2.1", tls="TLSv1.3", certificate="mx.b.example",
        duration_ms=812, rule="grey", phase="rcpt", dialogue="...", taken_over=True, next_attempt_at="later",
    )  # fmt: skip
    assert transcript.headline(one) == (
        "2026-11-27 14:05:10 UTC, deferred, attempt 2, from mta1-a, to mx.b.example, at 192.0.2.1, TLS TLSv1.3, "
        "name mx.b.example, 812 ms, reason greylisted, rule grey, taken_over, next_attempt_at later"
    )
    assert transcript.headline(event()) == "2026-11-27 14:05:10 UTC, accepted"
    assert "TLS" not in transcript.headline(event("x", 1, tls=""))


def test_without_a_dialogue_the_last_word_and_its_phase_are_told() -> None:
    assert lines(event("450 later", 1, phase="rcpt")) == ["* rcpt", "< 450 later"]
    assert lines(event("450 later", 1)) == ["< 450 later"]
    assert lines(event()) == []


def test_a_dialogue_is_told_in_its_order() -> None:
    told = "\n".join(
        lines(event("250 ok", 1, phase="dot", dialogue="1 - - us.example \nmail 12 250 2.1.0 Ok\ndot 40 250 ok"))
    )
    assert told.index("250 2.1.0 Ok") < told.index("250 ok")


def test_what_followed_a_delivery_does_not_repeat_which_way_it_had_gone() -> None:
    late = msgspec.structs.replace(event("", 1, source="mta1-a", provider="gmail", url="u"), kind=EventKind.CLICKED)
    assert transcript.headline(late) == "2026-11-27 14:05:10 UTC, clicked, attempt 1, reason greylisted, url u"

"""rspamd's protocol: what is asked, what is read, and what is no answer."""

import json
from typing import Any

import pytest

from outrider.base.errors import RemoteProtocolError
from outrider.wire import rspamd
from outrider.wire.rspamd import Question, Symbol

# As rspamd 3.4 of Debian 12 answered in November 2026, shortened.
GTUBE = """{"is_skipped":true,"score":15.0,"required_score":15.0,"action":"reject","symbols":{"GTUBE":{"name":"GTUBE",
"score":0.0,"metric_score":0.0}},"messages":{"smtp_message":"Gtube pattern"},"message-id":"x@b.example"}"""
PLAIN = """{"is_skipped":false,"score":-0.5,"required_score":15.0,"action":"no action","symbols":{"FROM_NO_DN":{"name":
"FROM_NO_DN","score":0.0,"metric_score":0.0,"description":"From header does not have a display name"},"GOOD":{"name":
"GOOD","score":-0.5,"metric_score":-0.5,"options":["0"]}},"messages":{},"message-id":"x@b.example"}"""


def answer(**changes: Any) -> bytes:
    return json.dumps({"score": 1.5, "required_score": 15, "action": "no action", "symbols": {}} | changes).encode()


def test_gtube_is_refused_though_it_was_skipped() -> None:
    score = rspamd.read(GTUBE.encode())
    assert (score.score, score.required, score.action, score.words) == (15.0, 15.0, "reject", "Gtube pattern")
    assert score.symbols == [Symbol("GTUBE", 0.0)]


def test_the_symbols_that_weigh_most_come_first_with_their_words() -> None:
    score = rspamd.read(PLAIN.encode())
    assert (score.score, score.action, score.words) == (-0.5, "no action", "")
    assert score.symbols == [
        Symbol("GOOD", -0.5), Symbol("FROM_NO_DN", 0.0, "From header does not have a display name")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"pong\r\n",
        b"[]",
        b'{"error":"bad request"}',
        b"\xff\xfe",
        b'{"score":1.5}',
        answer(score="1.5"),
        answer(score=None),
        answer(action=7),
        answer(symbols=[1]),
        answer(symbols={"A": 1.0}),
        answer()[:-1],
        answer().replace(b"1.5", b"NaN"),
        answer().replace(b"1.5", b"1e999"),
        b"[" * 100_000,
        b'{"score":' * 100_000,
    ],
)
def test_what_is_no_answer_is_told_as_such(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        rspamd.read(octets)


def test_what_it_says_is_bounded_and_holds_nothing_that_a_terminal_obeys() -> None:
    symbols = {f"S{n}\x1b[31m": {"score": n, "description": "x" * 500} for n in range(300)}
    score = rspamd.read(answer(symbols=symbols, action="add\nheader\x07", messages={"smtp_message": "a\r\nb" * 200}))
    assert len(score.symbols) == 100
    assert score.symbols[0].score == 299
    assert score.action == "add header"
    texts = [score.words, *(one.name for one in score.symbols), *(one.words for one in score.symbols)]
    assert all(text.isprintable() and len(text) <= 200 for text in texts)


@pytest.mark.parametrize("messages", [[], {}, None, {"smtp_message": 7}, {"smtp_message": None}])
def test_messages_of_any_kind_are_read(messages: Any) -> None:
    assert rspamd.read(answer(messages=messages)).words == ""


def test_the_question_names_sender_recipient_and_whose_it_is() -> None:
    question = Question(sender="a@shop.example", recipient="b@x.example", user="p1")
    assert rspamd.fields(question) == {"From": "a@shop.example", "Rcpt": "b@x.example", "User": "p1"}
    assert rspamd.fields(question, password="secret")["Password"] == "secret"
    assert "User" not in rspamd.fields(Question(sender="", recipient=""))


def test_a_field_cannot_hold_a_line_break() -> None:
    with pytest.raises(AssertionError):
        rspamd.fields(Question(sender="a@b.example\r\nPass: all", recipient="b@x.example"))

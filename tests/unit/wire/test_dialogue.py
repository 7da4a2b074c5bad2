"""What was said, as text and back: round trip, bounds, nothing of the peer's that moves a cursor, and for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.wire import dialogue
from outrider.wire.answer import Cause
from outrider.wire.dialogue import CONNECT, STEPS_COUNT_MAX, TEXT_CHARS_MAX, TRIED, WORDS, Dialogue, Step
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import State

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF).filter(str.isprintable), max_size=12)
NAMES = st.from_regex(r"[a-z0-9.:]{0,20}", fullmatch=True)
STEPS = st.builds(
    lambda word, ms, code, text, cause: Step(word, ms, "" if cause else f"{code} {text}", cause),
    st.sampled_from(sorted(WORDS)),
    st.integers(0, 600_000),
    st.integers(200, 599),
    PRINTABLE,
    st.sampled_from(["", *(cause.value for cause in Cause)]),
)
DIALOGUES = st.builds(
    Dialogue,
    steps=st.lists(STEPS, max_size=20).map(tuple),
    message_number=st.integers(0, 10_000),
    source=NAMES,
    cipher=NAMES,
    ehlo_name=NAMES,
    parameters=NAMES,
)


@given(DIALOGUES)
def test_what_is_encoded_is_decoded(said: Dialogue) -> None:
    assert dialogue.decode(dialogue.encode(said)) == said


ANY_STEPS = st.builds(Step, st.sampled_from(sorted(WORDS)), st.integers(0), st.text(), st.text())


@given(st.lists(ANY_STEPS, max_size=60), st.text())
def test_a_text_is_bounded_and_printable_whatever_was_said(steps: list[Step], name: str) -> None:
    text = dialogue.encode(Dialogue(steps=tuple(steps), source=name, cipher=name, ehlo_name=name, parameters=name))
    assert len(text) <= TEXT_CHARS_MAX
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == min(len(steps), STEPS_COUNT_MAX)
    assert len(dialogue.decode(text).steps) == min(len(steps), STEPS_COUNT_MAX)


@given(st.text())
def test_any_text_can_be_read_and_shown(text: str) -> None:
    said = dialogue.decode(text)
    assert all(line.isprintable() for line in dialogue.transcript(said, sender=text, recipients=[text]))


def test_the_first_and_the_last_of_too_many_steps_are_kept() -> None:
    steps = (Step("mail", 1, "250 ok"), *[Step("rcpt", 2, "250 ok")] * 100, Step("dot", 3, "250 queued"))
    kept = dialogue.decode(dialogue.encode(Dialogue(steps=steps))).steps
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])


@pytest.mark.parametrize(
    ("heard", "line"),
    [
        (Reply(250, "2.1.0", "Ok"), "mail 12 250 2.1.0 Ok"),
        (Reply(250, "", "Ok\nand more"), "mail 12 250 Ok"),
        (Cause.TIMEOUT, "mail 12 ! timeout"),
        (None, "mail 12 "),
    ],
)
def test_a_line_is_made_as_encode_makes_it(heard: Reply | Cause | None, line: str) -> None:
    assert dialogue.lines([(State.MAIL, heard)], [dialogue.ms(0.0123)]) == [line]
    (step,) = dialogue.decode("1 - - - \n" + line).steps
    assert dialogue.encode(Dialogue(steps=(step,))).split("\n")[1] == line


def test_a_transcript_reads_like_a_conversation() -> None:
    said = Dialogue(
        steps=(
            Step(TRIED, 3, "", "mx1.partner.example 192.0.2.1 connect refused"),
            Step(CONNECT, 20),
            Step("greeting", 21, "220 mx2 ESMTP"),
            Step("ehlo", 20, "250 mx2"),
            Step("starttls", 20, "220 go ahead"),
            Step("tls", 41),
            Step("auth", 22, "235 2.7.0 welcome"),
            Step("mail", 12, "250 2.1.0 Ok"),
            Step("rcpt", 12, "250 2.1.5 Ok"),
            Step("rcpt", 12, "550 5.1.1 no"),
            Step("data", 13, "354 go"),
            Step("dot", 600_000, "", "timeout"),
        ),
        source="198.51.100.4",
        cipher="TLS_AES_128_GCM_SHA256",
        ehlo_name="us.example",
        parameters="SIZE=3120",
    )
    shown = dialogue.transcript(said, sender="a@x.example", recipients=["b@y.example"])
    assert shown == [
        "* tried mx1.partner.example 192.0.2.1 connect refused   3 ms",
        "* connected   20 ms",
        "* greeting   21 ms",
        "< 220 mx2 ESMTP",
        "> EHLO us.example   20 ms",
        "< 250 mx2",
        "> STARTTLS   20 ms",
        "< 220 go ahead",
        "* TLS handshake   41 ms",
        "> AUTH ***   22 ms",
        "< 235 2.7.0 welcome",
        "> MAIL FROM:<a@x.example> SIZE=3120   12 ms",
        "< 250 2.1.0 Ok",
        "> RCPT TO:<b@y.example>   12 ms",
        "< 250 2.1.5 Ok",
        "> RCPT TO:<...>   12 ms",
        "< 550 5.1.1 no",
        "> DATA   13 ms",
        "< 354 go",
        "> (the message) .   600000 ms",
        "* no reply: timeout",
    ]


def test_a_later_message_says_so() -> None:
    said = Dialogue(steps=(Step("mail", 1, "250 ok"),), message_number=7)
    assert dialogue.transcript(said, sender="", recipients=[]) == [
        "* message 7 on this connection",
        "> MAIL FROM:<>   1 ms",
        "< 250 ok",
    ]

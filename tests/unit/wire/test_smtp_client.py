"""Messages over a session: every stage against done, not now, no, closing, a lost line and garbage; special cases.

Setting up a session is in test_smtp_client_setup.py, properties in tests/fuzz/test_wire_smtp_client.py.
"""

import pytest

from outrider.base import limits
from outrider.base.errors import LocalProtocolError, RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Envelope, Session, State, TlsMode, Waits

A, B = "a@partner.example", "b@partner.example"
CONTENT = b"Subject: x\r\n\r\nhello\r\n"
ONE = Envelope("us@shop.example", (A,), CONTENT)
TWO = Envelope("us@shop.example", (A, B), CONTENT)
HELLO = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
PLAIN_HELLO = b"250 mx\r\n"
GOOD_TURNS = [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 queued\r\n"]
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n"
PHASES = [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT]


def ready(hello: bytes = HELLO) -> Session:
    session = Session("us.example", tls=TlsMode.NEVER)
    assert session.receive(b"220 mx\r\n") == b"EHLO us.example\r\n"
    assert session.receive(hello) == b""
    assert session.state is State.READY
    return session


def tell(session: Session, *turns: bytes) -> list[bytes]:
    """Feed each turn as a driver does: with the body sent as soon as it is asked for."""
    said = []
    for turn in turns:
        said.append(session.receive(turn))
        session.body_sent()
    return said


def talked_to(stage: int, hello: bytes) -> Session:
    session = ready(hello)
    session.begin(ONE)
    tell(session, *GOOD_TURNS[:stage])
    return session


# The message.


def test_a_pipelining_server_gets_a_mail_in_two_writes() -> None:
    session = ready()
    commands = session.begin(ONE)
    assert commands == b"MAIL FROM:<us@shop.example> SIZE=21\r\nRCPT TO:<a@partner.example>\r\nDATA\r\n"
    assert tell(session, b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 2.0.0 queued\r\n") == [CONTENT + b".\r\n", b""]
    assert session.answers == {A: Answer(Phase.DOT, Reply(250, "2.0.0", "queued"))}
    assert session.state is State.READY


def test_a_server_without_pipelining_is_asked_step_by_step() -> None:
    session = ready(PLAIN_HELLO)
    assert session.begin(TWO) == b"MAIL FROM:<us@shop.example>\r\n"
    assert tell(session, b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 queued\r\n") == [
        b"RCPT TO:<a@partner.example>\r\n",
        b"RCPT TO:<b@partner.example>\r\n",
        b"DATA\r\n",
        CONTENT + b".\r\n",
        b"",
    ]
    assert session.answers[A] == session.answers[B] == Answer(Phase.DOT, Reply(250, "", "queued"))


def test_many_messages_go_over_one_session() -> None:
    session = ready()
    for number in range(3):
        session.begin(ONE)
        tell(session, b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 queued as %d\r\n" % number)
        reply = session.answers[A].reply
        assert reply is not None
        assert reply.text == f"queued as {number}"


def refuse_whole(session: Session, reply: bytes) -> None:
    """Answer the stage with `reply`, and what was pipelined after it as a server would."""
    tell(session, reply)
    while session.state not in (State.READY, State.OVER):
        tell(session, b"503 5.5.1 bad sequence\r\n")


@pytest.mark.parametrize("hello", [HELLO, PLAIN_HELLO], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("code", [450, 451, 452, 550, 552, 554, 571])
@pytest.mark.parametrize("stage", range(4))
def test_a_refusal_is_the_answer_of_its_stage_and_the_session_lives(stage: int, code: int, hello: bytes) -> None:
    session = talked_to(stage, hello)
    refuse_whole(session, b"%d 5.0.0 no\r\n" % code)
    assert session.answers[A].phase is PHASES[stage]
    assert session.answers[A].reply == Reply(code, "5.0.0", "no")
    assert session.state is State.READY


@pytest.mark.parametrize("hello", [HELLO, PLAIN_HELLO], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("stage", range(4))
def test_421_ends_the_session_at_any_stage(stage: int, hello: bytes) -> None:
    session = talked_to(stage, hello)
    assert session.receive(b"421 4.3.2 closing\r\n") == b""
    assert session.answers == {A: Answer(PHASES[stage], Reply(421, "4.3.2", "closing"))}
    assert session.state is State.OVER


@pytest.mark.parametrize("hello", [HELLO, PLAIN_HELLO], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("stage", range(4))
def test_a_lost_line_is_ambiguous_only_after_the_dot(stage: int, hello: bytes) -> None:
    session = talked_to(stage, hello)
    session.connection_lost(Cause.RESET)
    session.connection_lost(Cause.TIMEOUT)  # Told once.
    assert session.answers == {A: Answer(PHASES[stage], None, Cause.RESET)}
    assert session.answers[A].is_ambiguous == (stage == 3)


@pytest.mark.parametrize("hello", [HELLO, PLAIN_HELLO], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("stage", range(4))
def test_garbage_is_a_protocol_error_of_its_stage(stage: int, hello: bytes) -> None:
    session = talked_to(stage, hello)
    with pytest.raises(RemoteProtocolError):
        session.receive(GARBAGE)
    session.connection_lost(Cause.PROTOCOL)
    assert session.answers == {A: Answer(PHASES[stage], None, Cause.PROTOCOL)}


@pytest.mark.parametrize(
    ("stage", "reply"), [(0, b"354 x\r\n"), (1, b"354 x\r\n"), (2, b"250 x\r\n"), (3, b"354 x\r\n")]
)
def test_a_reply_of_the_wrong_kind_is_out_of_turn(stage: int, reply: bytes) -> None:
    session = talked_to(stage, HELLO)
    with pytest.raises(RemoteProtocolError):
        session.receive(reply)


def test_silence_while_the_body_goes_out_is_not_ambiguous() -> None:
    session = ready()
    session.begin(ONE)
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert session.state is State.BODY
    session.connection_lost(Cause.TIMEOUT)
    assert session.answers == {A: Answer(Phase.DATA, None, Cause.TIMEOUT)}


def test_a_refusal_in_mid_body_counts_and_ends_the_session() -> None:
    session = ready()
    session.begin(ONE)
    session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.receive(b"552 5.3.4 too big\r\n")
    assert session.answers == {A: Answer(Phase.DATA, Reply(552, "5.3.4", "too big"))}
    assert session.state is State.OVER


def test_acceptance_before_the_body_is_sent_is_not_believed() -> None:
    session = ready()
    session.begin(ONE)
    with pytest.raises(RemoteProtocolError):
        session.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n")
    session.connection_lost(Cause.PROTOCOL)
    assert session.answers == {A: Answer(Phase.DATA, None, Cause.PROTOCOL)}


def test_an_answer_to_an_unasked_command_is_not_believed() -> None:
    session = ready(PLAIN_HELLO)
    session.begin(ONE)
    with pytest.raises(RemoteProtocolError):
        session.receive(b"250 ok\r\n550 5.1.1 no such user\r\n")
    session.connection_lost(Cause.PROTOCOL)
    assert session.answers == {A: Answer(Phase.RCPT, None, Cause.PROTOCOL)}


# Some refused, all refused.


@pytest.mark.parametrize("hello", [HELLO, PLAIN_HELLO], ids=["pipelined", "stepwise"])
def test_each_recipient_has_its_own_answer(hello: bytes) -> None:
    session = ready(hello)
    session.begin(TWO)
    tell(session, b"250 ok\r\n", b"550 5.1.1 who\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 queued\r\n")
    assert session.answers == {
        A: Answer(Phase.RCPT, Reply(550, "5.1.1", "who")),
        B: Answer(Phase.DOT, Reply(250, "", "queued")),
    }


def test_all_refused_and_data_refused_needs_a_reset_before_the_next() -> None:
    session = ready()
    session.begin(TWO)
    tell(session, b"250 ok\r\n550 5.1.1 who\r\n452 4.2.2 full\r\n554 no valid recipients\r\n")
    assert session.answers == {
        A: Answer(Phase.RCPT, Reply(550, "5.1.1", "who")),
        B: Answer(Phase.RCPT, Reply(452, "4.2.2", "full")),
    }
    assert session.begin(ONE).startswith(b"RSET\r\nMAIL FROM:")
    tell(session, b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n", b"250 queued\r\n")
    assert session.answers == {A: Answer(Phase.DOT, Reply(250, "", "queued"))}
    assert session.begin(ONE).startswith(b"MAIL FROM:")


def test_all_refused_and_yet_354_gets_an_empty_message() -> None:
    session = ready()
    session.begin(ONE)
    said = tell(session, b"250 ok\r\n550 5.1.1 who\r\n354 go\r\n", b"554 no valid recipients\r\n")
    assert said == [b".\r\n", b""]
    assert session.answers == {A: Answer(Phase.RCPT, Reply(550, "5.1.1", "who"))}
    assert session.begin(ONE).startswith(b"MAIL FROM:")  # The server has ended the transaction itself.


def test_acceptance_of_the_empty_message_changes_no_refusal() -> None:
    session = ready()
    session.begin(ONE)
    tell(session, b"250 ok\r\n550 5.1.1 who\r\n354 go\r\n", b"250 queued\r\n")
    assert session.answers == {A: Answer(Phase.RCPT, Reply(550, "5.1.1", "who"))}


def test_all_refused_step_by_step_never_sends_data() -> None:
    session = ready(PLAIN_HELLO)
    session.begin(ONE)
    assert tell(session, b"250 ok\r\n", b"550 5.1.1 who\r\n") == [b"RCPT TO:<a@partner.example>\r\n", b""]
    assert session.state is State.READY
    assert session.begin(ONE) == b"RSET\r\n"
    assert tell(session, b"250 ok\r\n") == [b"MAIL FROM:<us@shop.example>\r\n"]


def test_mail_refused_needs_no_reset() -> None:
    session = ready()
    session.begin(ONE)
    tell(session, b"451 4.7.1 later\r\n503 what\r\n503 what\r\n")
    assert session.answers == {A: Answer(Phase.MAIL, Reply(451, "4.7.1", "later"))}
    assert session.begin(ONE).startswith(b"MAIL FROM:")


def test_421_in_the_middle_keeps_the_refusals_before_it() -> None:
    session = ready()
    session.begin(TWO)
    tell(session, b"250 ok\r\n550 5.1.1 who\r\n421 4.3.2 closing\r\n")
    assert session.answers == {
        A: Answer(Phase.RCPT, Reply(550, "5.1.1", "who")),
        B: Answer(Phase.RCPT, Reply(421, "4.3.2", "closing")),
    }


def test_a_refused_reset_ends_the_session_before_mail_is_answered() -> None:
    session = ready()
    session.begin(ONE)
    tell(session, b"250 ok\r\n550 5.1.1 who\r\n554 none\r\n")
    session.begin(ONE)
    with pytest.raises(RemoteProtocolError):
        session.receive(b"502 what\r\n")
    session.connection_lost(Cause.PROTOCOL)
    assert session.answers == {A: Answer(Phase.MAIL, None, Cause.PROTOCOL)}
    assert not session.is_mail_answered


@pytest.mark.parametrize(("reply", "is_answered"), [(b"250 ok\r\n", True), (b"451 x\r\n", True), (b"421 x\r\n", False)])
def test_a_closing_line_is_no_answer_to_mail(reply: bytes, is_answered: bool) -> None:
    session = ready()
    session.begin(ONE)
    session.receive(reply)
    assert session.is_mail_answered == is_answered


# What MAIL says.


@pytest.mark.parametrize(
    ("features", "envelope", "mail"),
    [
        (b"250 mx\r\n", Envelope("", (A,), CONTENT), b"MAIL FROM:<>"),
        (b"250 mx\r\n", Envelope("u@shop.example", (A,), CONTENT, is_8bit=True), b"MAIL FROM:<u@shop.example>"),
        (
            b"250-mx\r\n250 8BITMIME\r\n",
            Envelope("u@shop.example", (A,), CONTENT, is_8bit=True),
            b"MAIL FROM:<u@shop.example> BODY=8BITMIME",
        ),
        (b"250-mx\r\n250 8BITMIME\r\n", Envelope("u@shop.example", (A,), CONTENT), b"MAIL FROM:<u@shop.example>"),
        (b"250-mx\r\n250 SMTPUTF8\r\n", Envelope("u@shop.example", (A,), CONTENT), b"MAIL FROM:<u@shop.example>"),
        (
            b"250-mx\r\n250 SMTPUTF8\r\n",
            Envelope("u@shop.example", (A,), CONTENT, needs_smtputf8=True),
            b"MAIL FROM:<u@shop.example> SMTPUTF8",
        ),
        (
            b"250-mx\r\n250 SMTPUTF8\r\n",
            Envelope("u@shop.example", ("j\u00f8rn@partner.example",), CONTENT),
            b"MAIL FROM:<u@shop.example> SMTPUTF8",
        ),
        (b"250-mx\r\n250 SIZE\r\n", Envelope("", (A,), CONTENT), b"MAIL FROM:<> SIZE=21"),
        (b"250-mx\r\n250 SIZE 0\r\n", Envelope("", (A,), CONTENT), b"MAIL FROM:<> SIZE=21"),
    ],
)
def test_parameters_are_sent_where_offered_and_needed(features: bytes, envelope: Envelope, mail: bytes) -> None:
    assert ready(features).begin(envelope) == mail + b"\r\n"


@pytest.mark.parametrize(
    ("hello", "envelope", "cause"),
    [
        (b"250 mx\r\n", Envelope("", (A, B), CONTENT, needs_smtputf8=True), Cause.UNSUPPORTED),
        (b"250 mx\r\n", Envelope("j\u00f8rn@shop.example", (A, B), CONTENT), Cause.UNSUPPORTED),
        (b"250-mx\r\n250 SIZE 20\r\n", Envelope("", (A, B), CONTENT), Cause.TOO_LARGE),
    ],
)
def test_what_a_server_cannot_take_is_not_sent(hello: bytes, envelope: Envelope, cause: Cause) -> None:
    session = ready(hello)
    assert session.begin(envelope) == b""
    assert session.answers == dict.fromkeys((A, B), Answer(Phase.MAIL, None, cause))
    assert session.state is State.READY
    assert session.begin(ONE if cause is Cause.UNSUPPORTED else Envelope("", (A,), b"\r\n"))


@pytest.mark.parametrize("bad", ["a\r\nQUIT\r\n@x", "a\n@x", "a\r@x", "a\0@x"])
def test_a_line_break_in_an_address_never_reaches_the_wire(bad: str) -> None:
    session = ready()
    for envelope in (Envelope(bad, (A,), CONTENT), Envelope("", (A, bad), CONTENT)):
        with pytest.raises(LocalProtocolError):
            session.begin(envelope)
    assert session.state is State.READY


# At rest, and the end.


def test_421_at_rest_ends_the_session_without_touching_the_last_answers() -> None:
    session = talked_to(4, HELLO)
    session.receive(b"421 4.4.2 idle too long\r\n")
    assert session.is_over
    assert session.answers == {A: Answer(Phase.DOT, Reply(250, "", "queued"))}


@pytest.mark.parametrize("unasked", [b"250 ok\r\n", b"550 no\r\n", GARBAGE])
def test_anything_else_at_rest_is_out_of_turn(unasked: bytes) -> None:
    session = talked_to(4, HELLO)
    with pytest.raises(RemoteProtocolError):
        session.receive(unasked)
    session.connection_lost(Cause.PROTOCOL)
    assert session.answers == {A: Answer(Phase.DOT, Reply(250, "", "queued"))}


@pytest.mark.parametrize("reply", [b"221 bye\r\n", b"421 bye\r\n", b"500 what\r\n"])
def test_any_reply_to_quit_ends_the_session(reply: bytes) -> None:
    session = ready()
    assert session.quit() == b"QUIT\r\n"
    assert session.receive(reply) == b""
    assert session.is_over
    assert session.failure is None


def test_asking_out_of_turn_is_our_bug() -> None:
    session = Session("us.example")
    with pytest.raises(LocalProtocolError):
        session.begin(ONE)
    with pytest.raises(LocalProtocolError):
        session.quit()
    with pytest.raises(LocalProtocolError):
        session.tls_started()
    session = talked_to(1, HELLO)
    with pytest.raises(LocalProtocolError):
        session.begin(ONE)


def test_each_state_has_its_deadline() -> None:
    session = Session("us.example", tls=TlsMode.NEVER)
    seen = [session.wait_s]
    session.receive(b"220 mx\r\n")
    seen.append(session.wait_s)
    session.receive(HELLO)
    session.begin(ONE)
    for turn in GOOD_TURNS[:3]:
        seen.append(session.wait_s)
        session.receive(turn)
    seen.append(session.wait_s)
    session.body_sent()
    assert [*seen, session.wait_s] == [
        limits.GREETING_WAIT_S,
        limits.COMMAND_WAIT_S,
        limits.COMMAND_WAIT_S,
        limits.COMMAND_WAIT_S,
        limits.DATA_START_WAIT_S,
        limits.DATA_BLOCK_WAIT_S,
        limits.DATA_END_WAIT_S,
    ]
    assert Session("us.example", waits=Waits(greeting_s=1.0)).wait_s == 1.0

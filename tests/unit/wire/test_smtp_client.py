"""The SMTP session: every stage against done, not now, no, closing, a lost line and garbage; and its special cases."""

import base64

import pytest

from outrider.base import limits
from outrider.base.errors import LocalProtocolError, RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.wire import smtp_client
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, Envelope, Features, Session, State, TlsMode, Waits

A, B = "a@partner.example", "b@partner.example"
CONTENT = b"Subject: x\r\n\r\nhello\r\n"
ONE = Envelope("us@shop.example", (A,), CONTENT)
TWO = Envelope("us@shop.example", (A, B), CONTENT)
HELLO = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
PLAIN_HELLO = b"250 mx\r\n"
OFFER = b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
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


# Setting up.


@pytest.mark.parametrize("greeting", [b"220 mx\r\n", b"220-mx\r\n220 ESMTP\r\n", b"220\r\n"])
def test_a_greeting_is_answered_by_ehlo(greeting: bytes) -> None:
    assert Session("us.example").receive(greeting) == b"EHLO us.example\r\n"


@pytest.mark.parametrize("code", [450, 500, 554])
def test_a_refused_greeting_is_a_failure_of_the_session(code: int) -> None:
    session = Session("us.example")
    assert session.receive(b"%d go away\r\n" % code) == b"QUIT\r\n"
    assert session.failure == Answer(Phase.GREETING, Reply(code, "", "go away"))
    assert session.is_over


@pytest.mark.parametrize("code", [500, 502, 504, 550])
def test_a_server_that_knows_no_ehlo_is_greeted_with_helo(code: int) -> None:
    session = Session("us.example")
    session.receive(b"220 mx\r\n")
    assert session.receive(b"%d what\r\n" % code) == b"HELO us.example\r\n"
    assert session.receive(b"250 mx\r\n") == b""
    assert session.state is State.READY
    assert session.features == Features()


def test_a_server_that_refuses_ehlo_for_now_is_not_asked_again() -> None:
    session = Session("us.example")
    session.receive(b"220 mx\r\n")
    assert session.receive(b"451 later\r\n") == b"QUIT\r\n"
    assert session.failure == Answer(Phase.EHLO, Reply(451, "", "later"))


@pytest.mark.parametrize(
    ("turns", "phase"),
    [
        ([], Phase.GREETING),
        ([b"220 mx\r\n"], Phase.EHLO),
        ([b"220 mx\r\n", b"500 what\r\n"], Phase.EHLO),
        ([b"220 mx\r\n", OFFER], Phase.STARTTLS),
        ([b"220 mx\r\n", OFFER, b"220 go\r\n"], Phase.STARTTLS),
    ],
)
def test_each_stage_of_setting_up_can_be_cut_off(turns: list[bytes], phase: Phase) -> None:
    for ending in ("lost", "closing", "garbage"):
        session = Session("us.example")
        tell(session, *turns)
        expected = Answer(phase, None, Cause.RESET)
        if ending == "closing" and session.state is not State.TLS:
            session.receive(b"421 closing\r\n")
            expected = Answer(phase, Reply(421, "", "closing"))
        elif ending == "garbage":
            with pytest.raises(RemoteProtocolError):
                session.receive(GARBAGE)
            session.connection_lost(Cause.PROTOCOL)
            expected = Answer(phase, None, Cause.PROTOCOL)
        else:
            session.connection_lost(Cause.RESET)
        assert session.failure == expected
        assert session.is_over


def test_features_are_read_from_ehlo() -> None:
    text = "mx hello\nsize 35882577\n8bitmime\nSTARTTLS\nAUTH LOGIN plain\nAUTH=CRAM-MD5\nPIPELINING\nSMTPUTF8\n\n"
    assert smtp_client.parse_features(Reply(250, "", text + "X-NEW a b\nENHANCEDSTATUSCODES")) == Features(
        has_pipelining=True,
        has_8bitmime=True,
        has_smtputf8=True,
        has_starttls=True,
        has_enhanced_codes=True,
        has_size=True,
        size_bytes_max=35882577,
        auth=frozenset({"LOGIN", "PLAIN", "CRAM-MD5"}),
    )


@pytest.mark.parametrize("size", ["", "0", "x", "-5", "9" * 5000, "\u0663"])
def test_a_senseless_size_is_no_limit(size: str) -> None:
    assert smtp_client.parse_features(Reply(250, "", f"mx\nSIZE {size}")).size_bytes_max == 0


# TLS.


def encrypting(mode: TlsMode, credentials: Credentials | None = None) -> Session:
    session = Session("us.example", tls=mode, credentials=credentials)
    session.receive(b"220 mx\r\n")
    assert session.receive(OFFER) == b"STARTTLS\r\n"
    return session


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
def test_tls_starts_over_with_ehlo_and_forgets_the_first_offer(mode: TlsMode) -> None:
    session = encrypting(mode)
    assert session.receive(b"220 go\r\n") == b""
    assert session.state is State.TLS
    assert session.tls_started() == b"EHLO us.example\r\n"
    assert session.features == Features()
    session.receive(HELLO)
    assert session.state is State.READY
    assert session.is_encrypted
    assert session.features.has_pipelining
    assert not session.features.auth


def test_never_means_never() -> None:
    session = Session("us.example", tls=TlsMode.NEVER)
    session.receive(b"220 mx\r\n")
    assert session.receive(OFFER) == b""
    assert session.state is State.READY


@pytest.mark.parametrize("injected", [b"250 injected\r\n", b"2", b"250-x\r\n", b"\r\n"])
def test_plain_text_after_the_consent_to_tls_ends_the_session(injected: bytes) -> None:
    session = encrypting(TlsMode.OPPORTUNISTIC)
    with pytest.raises(RemoteProtocolError):
        session.receive(b"220 go\r\n" + injected)
    session.connection_lost(Cause.PROTOCOL)
    assert session.failure == Answer(Phase.STARTTLS, None, Cause.PROTOCOL)


def test_opportunistic_goes_on_in_the_clear_when_refused() -> None:
    session = encrypting(TlsMode.OPPORTUNISTIC)
    assert session.receive(b"454 4.7.0 not now\r\n") == b""
    assert session.state is State.READY


def test_required_does_not() -> None:
    session = encrypting(TlsMode.REQUIRED)
    assert session.receive(b"454 4.7.0 not now\r\n") == b"QUIT\r\n"
    assert session.failure == Answer(Phase.STARTTLS, Reply(454, "4.7.0", "not now"))


@pytest.mark.parametrize("turns", [[PLAIN_HELLO], [b"502 what\r\n", b"250 mx\r\n"]], ids=["ehlo", "helo"])
def test_required_needs_an_offer(turns: list[bytes]) -> None:
    session = Session("us.example", tls=TlsMode.REQUIRED)
    session.receive(b"220 mx\r\n")
    assert tell(session, *turns)[-1] == b"QUIT\r\n"
    assert session.failure == Answer(Phase.STARTTLS, None, Cause.TLS)


def test_a_failed_handshake_is_a_failure_of_starttls() -> None:
    session = encrypting(TlsMode.OPPORTUNISTIC)
    session.receive(b"220 go\r\n")
    session.connection_lost(Cause.TLS)
    assert session.failure == Answer(Phase.STARTTLS, None, Cause.TLS)


# AUTH.

SECRET = Credentials("user", "p\u00e4ss")
PLAIN_TOKEN = base64.b64encode("\0user\0p\u00e4ss".encode())


def encrypted(mechanisms: bytes) -> tuple[Session, bytes]:
    session = encrypting(TlsMode.REQUIRED, SECRET)
    session.receive(b"220 go\r\n")
    session.tls_started()
    return session, session.receive(b"250-mx\r\n250 " + mechanisms + b"\r\n")


def test_auth_plain_goes_in_one_command() -> None:
    session, said = encrypted(b"AUTH LOGIN PLAIN")
    assert said == b"AUTH PLAIN " + PLAIN_TOKEN + b"\r\n"
    assert session.receive(b"235 2.7.0 welcome\r\n") == b""
    assert session.state is State.READY


def test_a_server_that_ignores_the_initial_response_gets_it_again() -> None:
    session, _ = encrypted(b"AUTH PLAIN")
    assert session.receive(b"334 \r\n") == PLAIN_TOKEN + b"\r\n"
    assert session.receive(b"235 2.7.0 welcome\r\n") == b""
    with pytest.raises(RemoteProtocolError):
        session.receive(b"334 \r\n")


def test_auth_login_asks_twice() -> None:
    session, said = encrypted(b"AUTH LOGIN")
    assert said == b"AUTH LOGIN\r\n"
    assert tell(session, b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 welcome\r\n") == [
        base64.b64encode(b"user") + b"\r\n",
        base64.b64encode("p\u00e4ss".encode()) + b"\r\n",
        b"",
    ]
    assert session.state is State.READY


def test_a_third_question_of_auth_is_out_of_turn() -> None:
    session, _ = encrypted(b"AUTH LOGIN")
    tell(session, b"334 \r\n", b"334 \r\n")
    with pytest.raises(RemoteProtocolError):
        session.receive(b"334 \r\n")


@pytest.mark.parametrize("code", [454, 535])
def test_refused_credentials_are_a_failure_of_auth(code: int) -> None:
    session, _ = encrypted(b"AUTH PLAIN")
    assert session.receive(b"%d 5.7.8 no\r\n" % code) == b"QUIT\r\n"
    assert session.failure == Answer(Phase.AUTH, Reply(code, "5.7.8", "no"))


@pytest.mark.parametrize("mechanisms", [b"AUTH CRAM-MD5", b"HELP"])
def test_no_common_mechanism_is_unsupported(mechanisms: bytes) -> None:
    session, said = encrypted(mechanisms)
    assert said == b"QUIT\r\n"
    assert session.failure == Answer(Phase.AUTH, None, Cause.UNSUPPORTED)


def test_a_password_never_goes_over_plain_text_unless_told_so() -> None:
    offer = b"250-mx\r\n250 AUTH PLAIN\r\n"
    session = Session("us.example", credentials=SECRET)
    assert tell(session, b"220 mx\r\n", offer)[1] == b"QUIT\r\n"
    assert session.failure == Answer(Phase.STARTTLS, None, Cause.TLS)
    session = Session("us.example", credentials=SECRET, is_plaintext_auth_allowed=True)
    assert tell(session, b"220 mx\r\n", offer)[1].startswith(b"AUTH PLAIN ")


def test_a_password_does_not_show() -> None:
    assert "p\u00e4ss" not in repr(SECRET)
    assert "user" in repr(SECRET)


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

"""Setting up a session: greeting, EHLO and HELO, what is offered, STARTTLS, AUTH."""

import base64

import msgspec
import pytest

from outrider.base.errors import RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.wire import smtp_client
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, Features, Session, State, TlsMode

HELLO = b"250-mx\r\n250 PIPELINING\r\n"
PLAIN_HELLO = b"250 mx\r\n"
OFFER = b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n"


def tell(session: Session, *turns: bytes) -> list[bytes]:
    return [session.receive(turn) for turn in turns]


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
    session = Session("us.example", credentials=msgspec.structs.replace(SECRET, may_go_plain=True))
    assert tell(session, b"220 mx\r\n", offer)[1].startswith(b"AUTH PLAIN ")


def test_a_password_does_not_show() -> None:
    assert "p\u00e4ss" not in repr(SECRET)
    assert "user" in repr(SECRET)

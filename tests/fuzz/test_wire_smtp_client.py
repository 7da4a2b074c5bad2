"""Properties of the SMTP session: cutting never matters, and no server can make it forget or repeat an answer."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.wire.answer import Cause
from outrider.wire.smtp_client import Envelope, Session, State, TlsMode

RECIPIENTS = tuple(f"r{number}@partner.example" for number in range(3))
ENVELOPE = Envelope("us@shop.example", RECIPIENTS, b"Subject: x\r\n\r\n.\r\n")
FEATURES = st.sets(st.sampled_from(["PIPELINING", "SIZE 9", "SIZE", "8BITMIME", "SMTPUTF8", "AUTH PLAIN", "HELP"]))
CODES = st.sampled_from([220, 250, 251, 334, 354, 421, 450, 451, 452, 500, 503, 550, 552, 554])
LINES = st.sampled_from(["ok", "5.1.1 no", "", "4.2.2 full", "\x00\x7f\u00e9"])
NOISE = st.sampled_from([b"\r\n", b"25", b"SSH-2.0\r\n", b"250-", b"250-x\r\n251 y\r\n", b"\0" * 10])


def long_reply(code: int, text: str, is_long: bool) -> bytes:
    last = f"{code} {text}\r\n".encode()
    return f"{code}-{text}\r\n".encode() + last if is_long else last


REPLIES = st.builds(long_reply, CODES, LINES, st.booleans())


def hello(features: set[str]) -> bytes:
    return "".join(f"250-{line}\r\n" for line in ["mx", *sorted(features)]).encode() + b"250 OK\r\n"


class Driver:
    """Drives a session as `net.smtp_talk` does, with the peer's turns cut as told."""

    def __init__(self) -> None:
        self.session = Session("us.example", tls=TlsMode.NEVER)
        self.said: list[bytes] = []

    def hear(self, turn: bytes, cuts: Sequence[int] = ()) -> None:
        edges = [0, *sorted({cut % (len(turn) + 1) for cut in cuts}), len(turn)]
        for start, end in pairwise(edges):
            if self.session.is_over:
                return
            try:
                self.said.append(self.session.receive(turn[start:end]))
                self.session.body_sent()
            except RemoteProtocolError:
                self.session.connection_lost(Cause.PROTOCOL)

    def begin(self) -> bool:
        if self.session.state is State.READY:
            self.said.append(self.session.begin(ENVELOPE))
            return True
        return False


def talk(features: set[str], verdicts: Sequence[bytes], cuts: Sequence[int]) -> Driver:
    """Two messages to a server that answers each command in turn: `verdicts` for MAIL, RCPT..., DATA and the dot."""
    driver = Driver()
    driver.hear(b"220 mx\r\n", cuts)
    driver.hear(hello(features), cuts)
    replies = iter(verdicts)
    for _ in range(2):
        if not driver.begin():
            break
        while driver.session.state not in (State.READY, State.OVER):
            driver.hear(next(replies, b"421 4.3.2 closing\r\n"), cuts)
    return driver


@given(FEATURES, st.lists(REPLIES, max_size=16), st.lists(st.integers(0, 500), max_size=8))
def test_any_cut_gives_the_same_answers_and_the_same_words(
    features: set[str], verdicts: list[bytes], cuts: list[int]
) -> None:
    whole, cut = talk(features, verdicts, ()), talk(features, verdicts, cuts)
    assert cut.session.answers == whole.session.answers
    assert cut.session.state is whole.session.state
    assert b"".join(cut.said) == b"".join(whole.said)


@given(FEATURES, st.lists(st.one_of(REPLIES, NOISE), max_size=20), st.lists(st.integers(0, 500), max_size=4))
def test_everyone_has_exactly_one_answer_whatever_the_server_says(
    features: set[str], verdicts: list[bytes], cuts: list[int]
) -> None:
    driver = talk(features, verdicts, cuts)
    driver.session.connection_lost(Cause.RESET)
    assert set(driver.session.answers) == set(RECIPIENTS)
    assert driver.session.is_over


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_no_bytes_of_a_stranger_raise_anything_but_a_protocol_error(noise: bytes, cuts: list[int]) -> None:
    driver = Driver()
    driver.hear(noise, cuts)
    driver.begin()
    driver.hear(noise, cuts)


@given(
    st.sampled_from([set[str](), {"PIPELINING"}]),
    st.lists(st.sampled_from([b"250 ok\r\n", b"550 5.1.1 no\r\n", b"450 4.2.0 later\r\n"]), min_size=3, max_size=3),
)
def test_delivered_is_only_who_was_accepted_at_rcpt(features: set[str], verdicts: list[bytes]) -> None:
    driver = Driver()
    driver.hear(b"220 mx\r\n")
    driver.hear(hello(features))
    driver.begin()
    for turn in [b"250 ok\r\n", *verdicts, b"354 go\r\n", b"250 queued\r\n"]:
        if driver.session.state is not State.READY:
            driver.hear(turn)
    phases = [driver.session.answers[recipient].phase for recipient in RECIPIENTS]
    assert phases == [Phase.DOT if verdict.startswith(b"250") else Phase.RCPT for verdict in verdicts]

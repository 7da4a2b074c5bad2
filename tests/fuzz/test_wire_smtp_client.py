"""Properties of the SMTP session: cutting never matters, and no server can make it forget or repeat an answer."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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


class AnyPeer(RuleBasedStateMachine):
    """Any words, cut anywhere, at any moment: before they are asked for, in a body half sent, at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session("us.example", tls=TlsMode.OPPORTUNISTIC)
        self.unheard = b""
        self.is_begun = False
        self.body_count = 0  # Bodies that have left us whole.

    @precondition(lambda self: self.session.is_over)
    @rule(features=FEATURES, is_greeted=st.booleans(), offer=st.sampled_from([set(), {"STARTTLS"}]))
    def greet(self, features: set[str], is_greeted: bool, offer: set[str]) -> None:
        self.session = Session("us.example", tls=TlsMode.OPPORTUNISTIC)
        self.unheard, self.is_begun, self.body_count = b"", False, 0
        if is_greeted:
            self.session.receive(b"220 mx\r\n")
            self.session.receive(hello(features | offer))

    @rule(
        words=st.one_of(REPLIES, NOISE, st.binary(max_size=12), FEATURES.map(hello)),
        size=st.integers(1, 99),
        mood=st.integers(0, 9),
    )
    def say_anything(self, words: bytes, size: int, mood: int) -> None:
        if mood == 7:  # Now and then: mostly the dialogue should get somewhere first.
            self.unheard += words
            self.hear(size)

    @rule(features=FEATURES, count=st.sampled_from([1] * 12 + [2, 5]), size=st.one_of(st.just(500), st.integers(1, 40)))
    def say_what_is_due(self, features: set[str], count: int, size: int) -> None:
        usual = {State.GREETING: b"220 mx\r\n", State.EHLO: hello(features), State.DATA: b"354 go\r\n"}
        if not self.unheard and self.session.state not in (State.READY, State.BODY):
            self.unheard = usual.get(self.session.state, b"250 ok\r\n") * count
        self.hear(size)

    @rule(last=st.sampled_from([b"354 go\r\n", b"550 5.5.1 no\r\n"]), no=st.sampled_from([b"550 5.1.1 no\r\n", b""]))
    def say_all_that_is_due(self, last: bytes, no: bytes) -> None:
        if self.session.state is State.MAIL and self.session.features.has_pipelining and not self.unheard:
            self.unheard = b"250 ok\r\n" * 3 + (no or b"250 ok\r\n") + last
        self.hear(500)

    def hear(self, size: int) -> None:
        while self.unheard and self.session.state not in (State.OVER, State.TLS):
            heard, self.unheard = self.unheard[:size], self.unheard[size:]
            try:
                self.session.receive(heard)
            except RemoteProtocolError:
                self.session.connection_lost(Cause.PROTOCOL)
            if size < 40:
                return  # The rest comes later.

    @precondition(lambda self: self.session.state is State.TLS)
    @rule()
    def shake_hands(self) -> None:
        assert self.session.tls_started().startswith(b"EHLO ")
        assert not self.session.features.has_pipelining  # What was said in the clear is forgotten.

    @precondition(lambda self: self.session.state is State.READY)
    @rule()
    def begin(self) -> None:
        self.is_begun, self.body_count = True, 0
        self.session.begin(ENVELOPE)

    @precondition(lambda self: self.session.state is State.BODY)
    @rule()
    def finish_body(self) -> None:
        self.session.body_sent()
        self.body_count += 1

    @precondition(lambda self: self.is_begun and self.session.state is not State.OVER)
    @rule(cause=st.sampled_from([Cause.RESET, Cause.TIMEOUT]), mood=st.integers(0, 9))
    def lose(self, cause: Cause, mood: int) -> None:
        if mood == 7:
            self.session.connection_lost(cause)

    @invariant()
    def everyone_has_one_answer_when_it_is_over_or_at_rest(self) -> None:
        if self.is_begun and self.session.state in (State.READY, State.OVER):
            assert set(self.session.answers) == set(RECIPIENTS)
        else:
            assert set(self.session.answers) <= set(RECIPIENTS)

    @invariant()
    def ambiguous_is_nobody_before_the_body_has_left(self) -> None:
        ends = [answer for answer in self.session.answers.values() if answer.phase is Phase.DOT]
        assert not ends or self.body_count == 1

    @invariant()
    def before_ready_there_is_a_reason_and_no_answer(self) -> None:
        if not self.is_begun:
            assert not self.session.answers
            assert (self.session.failure is not None) == self.session.is_over

    @invariant()
    def what_cannot_be_read_is_no_reply(self) -> None:
        for answer in self.session.answers.values():
            assert answer.reply is None or 400 <= answer.reply.code <= 599 or answer.phase is Phase.DOT


TestAnyPeer = AnyPeer.TestCase
TestAnyPeer.settings = settings(stateful_step_count=60, max_examples=150, deadline=None)

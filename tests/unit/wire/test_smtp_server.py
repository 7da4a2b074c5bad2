"""Our side of a submission, as a conversation on paper: what it says, what it asks about, where it hangs up."""

import base64
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.wire.smtp_server import Asked, Auth, Mail, Message, Rcpt, Reception, StartTls

SIZE_BYTES_MAX = 1000
BEGIN = b"EHLO client.example\r\n"
OPEN = BEGIN + b"MAIL FROM:<a@shop.example>\r\nRCPT TO:<b@partner.example>\r\nDATA\r\n"


class Paper:
    """A reception and somebody who answers all it asks."""

    def __init__(self, *, answer: Callable[[Asked], str] = lambda _: "250 2.0.0 Ok") -> None:
        self.reception = Reception("mx.example", size_bytes_max=SIZE_BYTES_MAX, recipients_count_max=3)
        self.reception.needs_auth = False
        self.asked: list[Asked] = []
        self.said = b""
        self._answer = answer

    def hear(self, *octets: bytes) -> list[str]:
        """Return the codes of the replies to what is said, continued ones once."""
        begin = len(self.said)
        for piece in octets:
            self.reception.receive(piece)
            while (asked := self.reception.step()) is not None:
                self.asked.append(asked)
                self.reception.answer(self._answer(asked))
            self.said += self.reception.take_replies()
        return [line[:3].decode() for line in self.said[begin:].split(b"\r\n") if line[3:4] == b" "]


def asked_of(kind: type[Asked], asked: Sequence[Asked]) -> list[Asked]:
    return [one for one in asked if isinstance(one, kind)]


def test_a_whole_transaction() -> None:
    paper = Paper()
    assert paper.hear(OPEN) == ["250", "250", "250", "354"]
    assert paper.hear(b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n") == ["250", "221"]
    assert paper.asked == [
        Mail("a@shop.example"),
        Rcpt("b@partner.example"),
        Message(b"Subject: x\r\n\r\n.dot\r\n", has_bare_line_end=False),
    ]
    assert paper.reception.is_over


def test_ehlo_says_what_there_is() -> None:
    paper = Paper()
    paper.reception.offers_tls, paper.reception.may_auth = True, False
    paper.hear(BEGIN)
    lines = paper.said.decode().split("\r\n")
    words = {"PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "ENHANCEDSTATUSCODES"}
    assert {line[4:] for line in lines[1:-1]} == words
    paper.reception.may_auth = True
    paper.hear(BEGIN)
    assert b"250-AUTH PLAIN LOGIN\r\n" in paper.said


@pytest.mark.parametrize(
    ("commands", "codes"),
    [
        (b"MAIL FROM:<a@b.example>\r\n", ["503"]),
        (BEGIN + b"RCPT TO:<a@b.example>\r\n", ["250", "503"]),
        (BEGIN + b"DATA\r\n", ["250", "503"]),
        (BEGIN + b"MAIL FROM:<a@b.example>\r\nDATA\r\n", ["250", "250", "554"]),
        (BEGIN + b"MAIL FROM:<a@b.example>\r\nMAIL FROM:<a@b.example>\r\n", ["250", "250", "503"]),
        (BEGIN + b"MAIL FROM:a@b.example\r\n", ["250", "250"]),
        (BEGIN + b"mail from: <a@b.example>\r\n", ["250", "250"]),
        (BEGIN + b"MAIL FROM:<>\r\n", ["250", "250"]),
        (BEGIN + b"MAIL FROM <a@b.example>\r\n", ["250", "501"]),
        (BEGIN + b"MAIL FROM:<a@b.example> SIZE=1001\r\n", ["250", "552"]),
        (BEGIN + b"MAIL FROM:<a@b.example> SIZE=x\r\n", ["250", "501"]),
        (BEGIN + b"MAIL FROM:<a@b.example> SIZE=1 SIZE=1\r\n", ["250", "501"]),
        (BEGIN + b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n", ["250", "501"]),
        (BEGIN + b"MAIL FROM:<a@b.example> FOO=1\r\n", ["250", "555"]),
        (BEGIN + b"MAIL FROM:<a@b.example> ENVID=+\r\n", ["250", "501"]),
        (BEGIN + "MAIL FROM:<ä@b.example>\r\n".encode(), ["250", "553"]),
        (BEGIN + "MAIL FROM:<ä@b.example> SMTPUTF8\r\n".encode(), ["250", "250"]),
        (BEGIN + b"MAIL FROM:<\xff@b.example> SMTPUTF8\r\n", ["250", "501"]),
        (b"EHLO\r\n", ["501"]),
        (b"HELO x\r\nMAIL FROM:<a@b.example>\r\n", ["250", "250"]),
        (
            b"VRFY root\r\nEXPN all\r\nHELP\r\nNOOP\r\nRSET\r\nTURN\r\nETRN x\r\n",
            ["252", *["502", "214", "250", "250", "502", "502"]],
        ),
        (b"STARTTLS\r\n", ["454"]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ["500"]),
        (b"AUTH PLAIN\r\n", ["503"]),
        (BEGIN + b"AUTH PLAIN\r\n", ["250", "502"]),
    ],
)
def test_what_octets_alone_decide(commands: bytes, codes: list[str]) -> None:
    assert Paper().hear(commands) == codes


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (b"", "250"),
        (b" NOTIFY=NEVER", "250"),
        (b" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b+2Bc@partner.example", "250"),
        (b" NOTIFY=NEVER,FAILURE", "501"),
        (b" NOTIFY=MAYBE", "501"),
        (b" ORCPT=nonsense", "501"),
        (b" ORCPT=rfc822;a+zz", "501"),
        (b" FOO", "555"),
    ],
)
def test_parameters_of_a_recipient(parameters: bytes, code: str) -> None:
    paper = Paper()
    paper.hear(BEGIN, b"MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B1\r\n")
    assert paper.hear(b"RCPT TO:<b@c.example>%b\r\n" % parameters) == [code]
    assert paper.asked[0] == Mail("a@b.example", ret="HDRS", envid="QQ+1")
    if b"ORCPT=rfc822;b" in parameters:
        assert paper.asked[1] == Rcpt("b@c.example", frozenset({"SUCCESS", "FAILURE", "DELAY"}), "b+c@partner.example")


def test_only_so_many_recipients_and_those_refused_do_not_count() -> None:
    paper = Paper(answer=lambda asked: "550 5.1.1 No" if asked == Rcpt("no@c.example") else "250 2.0.0 Ok")
    paper.hear(BEGIN, b"MAIL FROM:<a@b.example>\r\nRCPT TO:<no@c.example>\r\n")
    assert paper.hear(b"DATA\r\n") == ["554"]
    assert paper.hear(b"RCPT TO:<b@c.example>\r\n" * 4) == ["250", "250", "250", "452"]


def test_quoted_locals_may_hold_brackets() -> None:
    paper = Paper()
    paper.hear(BEGIN, b'MAIL FROM:<a@b.example>\r\nRCPT TO:<"a>b c"@d.example>\r\n')
    assert paper.asked[1] == Rcpt('"a>b c"@d.example')


# -- AUTH.


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "said",
    [
        [b"AUTH PLAIN " + encoded("\0name\0pass") + b"\r\n"],
        [b"auth plain " + encoded("name\0name\0pass") + b"\r\n"],
        [b"AUTH PLAIN\r\n", encoded("\0name\0pass") + b"\r\n"],
        [b"AUTH LOGIN\r\n", encoded("name") + b"\r\n", encoded("pass") + b"\r\n"],
        [b"AUTH LOGIN " + encoded("name") + b"\r\n", encoded("pass") + b"\r\n"],
    ],
)
def test_ways_to_say_who_it_is(said: list[bytes]) -> None:
    paper = Paper(answer=lambda _: "235 2.7.0 Welcome")
    paper.reception.may_auth = paper.reception.needs_auth = True
    paper.hear(BEGIN)
    assert paper.hear(*said)[-1] == "235"
    assert paper.asked == [Auth("name", "pass")]
    assert "pass" not in repr(paper.asked)
    assert paper.reception.is_authenticated
    assert paper.hear(b"AUTH PLAIN " + encoded("\0name\0pass") + b"\r\n") == ["503"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([b"AUTH CRAM-MD5\r\n"], "504"),
        ([b"AUTH PLAIN !!!\r\n"], "501"),
        ([b"AUTH PLAIN " + encoded("name\0pass") + b"\r\n"], "501"),
        ([b"AUTH PLAIN " + encoded("boss\0name\0pass") + b"\r\n"], "501"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\xff\0p") + b"\r\n"], "501"),
        ([b"AUTH PLAIN\r\n", b"*\r\n"], "501"),
        ([b"AUTH LOGIN\r\n", b"\r\n"], "501"),
    ],
)
def test_what_is_no_login(said: list[bytes], code: str) -> None:
    paper = Paper()
    paper.reception.may_auth = True
    paper.hear(BEGIN)
    assert paper.hear(*said)[-1] == code
    assert paper.asked == []


def test_no_mail_before_its_login_and_no_password_before_tls() -> None:
    paper = Paper()
    paper.reception.needs_auth = paper.reception.offers_tls = True
    assert paper.hear(BEGIN, b"MAIL FROM:<a@b.example>\r\n") == ["250", "530"]
    assert b"STARTTLS first" in paper.said
    assert paper.hear(b"AUTH PLAIN " + encoded("\0name\0pass") + b"\r\n") == ["538"]
    paper.reception.may_auth = True
    assert paper.hear(b"MAIL FROM:<a@b.example>\r\n") == ["530"]
    assert paper.asked == []


def test_nothing_from_before_tls_counts() -> None:
    paper = Paper()
    paper.reception.offers_tls = True
    paper.reception.receive(BEGIN + b"STARTTLS\r\nMAIL FROM:<evil@b.example>\r\n")
    assert paper.reception.step() == StartTls()
    paper.reception.answer("220 2.0.0 Go ahead")
    paper.reception.tls_started()
    assert paper.reception.step() is None
    assert paper.hear(b"MAIL FROM:<a@b.example>\r\n")[-1] == "503"
    assert paper.hear(b"STARTTLS\r\n") == ["503"]


# -- The message.


@pytest.mark.parametrize(
    ("octets", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"a\r\n...b\r\n.\r\n", b"a\r\n..b\r\n"),
    ],
)
def test_dots(octets: bytes, content: bytes) -> None:
    paper = Paper()
    paper.hear(OPEN, octets)
    assert paper.asked[-1] == Message(content, has_bare_line_end=False)


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\n\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n"],
)
def test_one_end_of_data_and_no_other(end: bytes) -> None:
    paper = Paper()
    codes = paper.hear(
        OPEN, b"Subject: x\r\n\r\nbody" + end + b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<x@c.example>\r\n"
    )
    assert codes[-1] == "354"
    assert paper.hear(b"\r\n.\r\n") == ["250"]
    (message,) = asked_of(Message, paper.asked)
    assert isinstance(message, Message)
    assert b"evil@b.example" in message.content
    assert message.has_bare_line_end == (b"\0" not in end)
    assert len(asked_of(Mail, paper.asked)) == 1


@given(st.lists(st.integers(1, 40), max_size=30))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    whole = OPEN + b"Subject: x\r\n\r\n..a\r\n.b\r\nlast\r\n.\r\nRSET\r\nNOOP x\r\nQUIT\r\n"
    paper, other = Paper(), Paper()
    paper.hear(whole)
    at = 0
    for cut in cuts:
        other.hear(whole[at : at + cut])
        at += cut
    other.hear(whole[at:])
    assert (other.asked, other.said) == (paper.asked, paper.said)


@given(st.binary(max_size=400))
def test_no_octets_trip_it(octets: bytes) -> None:
    paper = Paper()
    paper.reception.may_auth = True
    paper.hear(octets, BEGIN, octets, OPEN, octets)


def test_too_much_is_refused_and_not_kept() -> None:
    paper = Paper()
    paper.hear(OPEN)
    for _ in range(100):
        paper.reception.receive(b"x" * 100_000)
        assert paper.reception.step() is None
        assert not paper.reception.needs_place
        assert paper.reception.pending_bytes == 0
    assert paper.hear(b"\r\n.\r\n") == ["552"]
    assert asked_of(Message, paper.asked) == []
    assert paper.hear(b"MAIL FROM:<a@b.example>\r\n") == ["250"]


def test_exactly_the_size_is_taken() -> None:
    paper = Paper()
    assert paper.hear(OPEN, b"x" * (SIZE_BYTES_MAX - 2) + b"\r\n.\r\n")[-1] == "250"
    assert paper.hear(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<b@c.example>\r\nDATA\r\n")[-1] == "354"
    assert paper.hear(b"x" * (SIZE_BYTES_MAX - 1) + b"\r\n.\r\n")[-1] == "552"


# -- Who goes on and on.


@pytest.mark.parametrize(
    "octets", [b"NOOP\n", b"NO\rOP\r\n", b"NO\0OP\r\n", b"x" * (limits.SUBMISSION_LINE_BYTES_MAX + 1)]
)
def test_what_is_no_line_ends_it(octets: bytes) -> None:
    paper = Paper()
    assert paper.hear(octets) == ["500"]
    assert paper.reception.is_over
    assert paper.hear(b"NOOP\r\n") == []


def test_errors_end_it() -> None:
    paper = Paper()
    codes = paper.hear(b"WHAT\r\n" * 100)
    assert codes == ["502"] * (limits.SUBMISSION_ERRORS_COUNT_MAX + 1) + ["421"]


def test_commands_without_mail_end_it_and_mail_begins_anew() -> None:
    paper = Paper()
    half = limits.SUBMISSION_IDLE_COMMANDS_COUNT_MAX // 2
    paper.hear(b"RSET\r\n" * half, OPEN, b"x\r\n.\r\n")
    assert set(paper.hear(b"RSET\r\n" * (2 * half))) == {"250"}
    assert paper.hear(b"RSET\r\n" * 2)[-1] == "421"


def test_421_ends_it() -> None:
    paper = Paper(answer=lambda _: "421 4.3.2 Stopping")
    assert paper.hear(BEGIN, b"MAIL FROM:<a@b.example>\r\nNOOP\r\n") == ["250", "421"]
    assert paper.reception.is_over


def test_close_says_a_last_word_once() -> None:
    paper = Paper()
    paper.reception.close("421 4.4.2 Slow")
    paper.reception.close("421 4.4.2 Again")
    assert paper.reception.take_replies() == b"421 4.4.2 Slow\r\n"


def test_greeting_and_name() -> None:
    paper = Paper()
    paper.reception.greet()
    paper.hear(b"EHLO client.example\r\n")
    assert paper.said.startswith(b"220 mx.example ESMTP Outrider\r\n250-mx.example\r\n")
    assert paper.reception.hello == "client.example"

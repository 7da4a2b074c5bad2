"""Whatever the message: beside its texts no octet changes, and others read the same tree with the new texts in it."""

import email
import email.policy
from email.message import Message
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outrider.mail import encode, leaves
from outrider.mail.leaves import Leaf

CHARSETS = st.sampled_from(["", "us-ascii", "utf-8", "iso-8859-1", "windows-1252", "koi8-r", "gb2312", "nonsense"])
ENCODINGS = st.sampled_from(["", "7bit", "8bit", "quoted-printable", "base64", "BASE64", "x-odd"])
WORDS = st.sampled_from(
    ["<p>", "a", "ü", "你", "€", "--", "--b0", "--b1--", "=", "=3D", " ", "\t", ".", "x" * 80, "\r\n"]
)
TEXTS = st.lists(WORDS, max_size=12).map("".join)
KINDS = st.sampled_from(["text/html", "text/plain", "TEXT/HTML", "image/png", "text/calendar"])
MORE = st.sampled_from(
    ["", "Content-Disposition: inline\r\n", "Content-Disposition: attachment; filename=x\r\n", "X: y\r\n"]
)
SUBTYPES = st.sampled_from(["mixed", "alternative", "related", "mixed", "digest"])
ASIDES = st.sampled_from([b"", b"This is MIME.\r\n", b"--\r\n", b"--b\r\nx"])
# What is put into a text: links and what is around them.
PUT = st.sampled_from(
    ["https://t.example/t/" + "x" * 150, '<img src="=3D">', "ü€你", "\n-- \nUnsubscribe: x\n", "--b0"]
)


@st.composite
def written_leaves(draw: st.DrawFn) -> bytes:
    """Give a part as some program might write it."""
    charset, encoding, text = draw(CHARSETS), draw(ENCODINGS), draw(TEXTS)
    try:
        octets = text.encode(charset or "ascii", "replace")
    except LookupError:
        octets = text.encode()
    if encoding.lower() == "base64":
        octets = encode.base64(octets)
    elif encoding == "quoted-printable":
        octets = encode.encode(octets)[1] if draw(st.booleans()) else octets.replace(b"=", b"=3D")
    said = f"; charset={charset}" if charset else ""
    label = f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
    # Lines that would be delimiters are no part's own.
    octets = (b"\r\n" + octets).replace(b"\r\n--b", b"\r\n- -b")[2:]
    return f"Content-Type: {draw(KINDS)}{said}\r\n{label}{draw(MORE)}\r\n".encode() + octets


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> bytes:
    """Give an entity: a leaf, or a multipart of some."""
    if depth >= 3 or draw(st.integers(0, 2)) == 0:
        return draw(written_leaves())
    boundary = f"b{depth}-{draw(st.integers(0, 9))}=".encode()
    parts = draw(st.lists(trees(depth + 1), min_size=1, max_size=3))
    before, behind = draw(ASIDES), draw(ASIDES)
    pieces = [b'Content-Type: multipart/%b;\r\n boundary="%b"\r\n\r\n' % (draw(SUBTYPES).encode(), boundary), before]
    pieces += [b"%b--%b\r\n%b" % (b"\r\n" if at or before else b"", boundary, one) for at, one in enumerate(parts)]
    return b"".join([*pieces, b"\r\n--%b--\r\n" % boundary, behind])


PIECES = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b'Content-Type: multipart/alternative;\r\n boundary="c d"\r\n',
            b"Content-Type: text/html\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"\r\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"--c d\r\n",
            b"--c d--  \r\n",
            b"<p>x</p>\r\n",
            b"PHA+\r\n",
            b"=\r\n",
            b"no field\r\n",
            b"\xfc",
        ]
    ),
    max_size=20,
).map(b"".join)
MESSAGES = st.one_of(trees(), PIECES).map(lambda entity: b"From: a@shop.example\r\nMIME-Version: 1.0\r\n" + entity)


def seen(message: "Message[Any, Any]") -> list[tuple[Any, ...]]:
    """Return what the standard library sees: each entity's header, and the octets of leaves, decoded."""
    found: list[tuple[Any, ...]] = []
    for part in message.walk():
        header = [(name, str(value)) for name, value in part.items()]
        asides = (part.preamble, part.epilogue)
        found.append(
            (part.get_content_type(), header, asides, None if part.is_multipart() else part.get_payload(decode=True))
        )
    return found


@given(message=MESSAGES, put=PUT, at=st.integers(0, 100))
def test_only_the_texts_change_and_all_read_them(message: bytes, put: str, at: int) -> None:
    found = leaves.find(message)
    changes: list[tuple[Leaf, str]] = []
    for leaf in (found.html, found.text):
        if leaf is not None:
            # Nothing that we put into a text stands at the beginning of a line and looks like a delimiter.
            cut = min(at, len(leaf.content))
            before = leaf.content[:cut] + ("x" if put.startswith("--") else "")
            changes.append((leaf, before + put + leaf.content[cut:]))
    new = leaves.rewritten(message, changes)
    ordered = sorted(changes, key=lambda change: change[0].start)
    old_at = new_at = 0
    for leaf, _ in ordered:
        size = leaf.start - old_at
        assert new[new_at : new_at + size] == message[old_at : leaf.start]
        again = leaves.find(new)
        twin = again.html if leaf.is_html else again.text
        assert twin is not None
        assert twin.start == new_at + size
        old_at, new_at = leaf.stop, twin.stop
    assert new[new_at:] == message[old_at:]
    before_seen, after_seen = (
        seen(email.message_from_bytes(one, policy=email.policy.compat32)) for one in (message, new)
    )
    assert [one[:3] for one in after_seen] == [one[:3] for one in before_seen]
    differing = [(old[3], now[3]) for old, now in zip(before_seen, after_seen, strict=True) if old[3] != now[3]]
    assert len(differing) == len(changes)
    for (_, now), (leaf, content) in zip(differing, ordered, strict=True):
        wanted = content.replace("\n", "\r\n") if leaf.has_crlf else content
        assert now == wanted.encode(leaf.charset, "xmlcharrefreplace" if leaf.is_html else "replace")


@given(message=PIECES)
def test_nothing_raises(message: bytes) -> None:
    found = leaves.find(message)
    assert leaves.rewritten(message, []) == message
    assert found.html is None or message[found.html.start : found.html.stop]

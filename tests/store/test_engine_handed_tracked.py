"""A message that came whole and is tracked: each recipient's own links in its HTML, all else as it was handed in."""

import email.policy
import re
from collections.abc import Mapping
from email.message import EmailMessage

import pytest

from outrider.base import limits
from outrider.base.vocab import Stream
from outrider.engine.prepare import Preparer
from outrider.engine.submission import Submission
from outrider.mail import leaves
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.testing.engineroom import LINKS_ROOT, PROJECT, SENDER, EngineRoom, OwnReturnPaths, signing_keys
from outrider.wire.smtp_client import Envelope, Features
from tests.store.test_engine_handed import ALL, HEAD, whole
from tests.store.test_engine_prepare import AllTracked, claims_of, parsed, signatures

pytestmark = pytest.mark.newest

LINK = '<p>Grüße</p><a href="https://shop.example/x">x</a>'
TOKENS = re.compile(r"https://t\.example/[to]/([\w-]+)")
BARE = OwnReturnPaths()
PDF = bytes(range(256)) * 30


def letter(html: str = LINK, text: str = "Hi\n", *, cte: str = "quoted-printable", file: bytes = PDF) -> bytes:
    """Return a mail with text, HTML and a file."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"], made["Subject"], made["Message-ID"] = SENDER, "ann@a.example", "Hi", "<own@shop.example>"
    made.set_content(text)
    made.add_alternative(html, subtype="html", cte=cte)
    made.add_attachment(file, maintype="application", subtype="pdf", filename="a.pdf")
    return made.as_bytes()


async def made(
    room: EngineRoom,
    given: Submission,
    features: Features = ALL,
    *,
    paths: OwnReturnPaths = BARE,
    is_tracked: bool = True,
) -> Mapping[str, Envelope]:
    """Accept it, and return what goes to each recipient, by address; all is tracked, or nothing."""
    accepted = await room.accept(PROJECT, given)
    assert accepted.session_id is not None
    tracked = AllTracked() if is_tracked else None
    found: list[dict[str, Envelope]] = []
    for _ in range(2):  # Another process, another attempt.
        preparer = Preparer(
            room.store, room.keys, paths, clock=room.clock, drafts_bytes_max=10_000_000, tracking=tracked
        )
        composed = (await preparer.compose({accepted.session_id}))[accepted.session_id]
        claims = await claims_of(room, accepted.session_id)
        found.append({claim.address: (await preparer.maker(composed, claim))(features) for claim in claims})
    assert found[0] == found[1], "the same on every attempt"
    for envelope in found[0].values():
        assert [is_good for *_, is_good in signatures(envelope.content, signing_keys("s1"))] == [True, True]
        assert max(map(len, envelope.content.split(b"\r\n"))) <= limits.LINE_BYTES_MAX
    return found[0]


def part(content: bytes, kind: str) -> str:
    found = parsed(content).get_body((kind,))
    assert found is not None
    return str(found.get_content())


@pytest.mark.parametrize("cte", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("has_8bitmime", [True, False])
async def test_each_reader_has_links_of_its_own_and_all_else_stays(
    room: EngineRoom, cte: str, *, has_8bitmime: bool
) -> None:
    raw = letter(cte=cte)
    given = whole("ann@a.example", "bob@b.example", raw=raw)
    found = await made(room, given, Features(has_8bitmime=has_8bitmime))
    seen: set[str] = set()
    for envelope in found.values():
        html = part(envelope.content, "html")
        assert html.startswith('<p>Grüße</p><a href="https://t.example/t/')
        seen |= set(TOKENS.findall(html))
        assert part(envelope.content, "plain") == "Hi\r\n"
        (file,) = parsed(envelope.content).iter_attachments()
        assert file.get_content() == PDF
        assert envelope.is_8bit == (has_8bitmime and cte == "8bit")
        if has_8bitmime:  # But for the HTML each octet is as it was handed in.
            leaf = leaves.find(raw).html
            assert leaf is not None
            assert raw[: leaf.start] in envelope.content
            assert envelope.content.endswith(raw[leaf.stop :])
    assert len(seen) == 4


async def test_a_line_that_gets_too_long_is_encoded_before_it_is_signed(room: EngineRoom) -> None:
    html = b"<p>" + b"x" * 900 + b'<a href="https://shop.example/x">x</a>\r\n'
    raw = HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n" + html
    (envelope,) = (await made(room, whole(raw=raw))).values()
    assert len(TOKENS.findall(parsed(envelope.content).get_content())) == 2
    assert parsed(envelope.content)["Content-Transfer-Encoding"] == "quoted-printable"


async def test_a_large_one_is_tracked_too(room: EngineRoom) -> None:
    raw = letter(file=PDF * 100)
    for envelope in (await made(room, whole("ann@a.example", "bob@b.example", raw=raw))).values():
        assert len(TOKENS.findall(part(envelope.content, "html"))) == 2
        assert envelope.content.endswith(raw[-500_000:])


async def test_what_is_signed_or_has_nothing_to_track_stays_as_it_is(room: EngineRoom) -> None:
    signed = letter().replace(b"multipart/mixed", b"multipart/signed")
    plain = HEAD + b"\r\nSee https://shop.example/x\r\n"
    for raw in (signed, plain):
        (envelope,) = (await made(room, whole(raw=raw))).values()
        assert envelope.content.endswith(raw)
    raw = letter()
    (envelope,) = (await made(room, whole(raw=raw, has_null_sender=True))).values()
    assert envelope.content.endswith(raw), "a report of ours"


async def test_marketing_without_a_way_out_gets_a_line_with_one(room: EngineRoom) -> None:
    paths = OwnReturnPaths(LINKS_ROOT)
    raw = letter()
    (envelope,) = (await made(room, whole(raw=raw, stream=Stream.MARKETING), paths=paths)).values()
    assert re.search(rf'<a href="{LINKS_ROOT}/unsubscribe\?token=\w+">Unsubscribe</a>', part(envelope.content, "html"))
    assert re.search(
        rf"Hi\n\n-- \nUnsubscribe: {LINKS_ROOT}/unsubscribe\?token=\w+\n\Z",
        part(envelope.content, "plain").replace("\r\n", "\n"),
    )
    own = b"List-Unsubscribe: <https://shop.example/leave>\r\n" + raw
    (envelope,) = (await made(room, whole(raw=own, stream=Stream.MARKETING), paths=paths)).values()
    assert "Unsubscribe" not in part(envelope.content, "html") + part(envelope.content, "plain")


@pytest.mark.parametrize("is_tracked", [True, False])
async def test_the_mark_becomes_the_readers_own_link_where_there_is_a_page(
    room: EngineRoom, *, is_tracked: bool
) -> None:
    raw = letter(f'<a href="{UNSUBSCRIBE_MARK}">x</a>', f"Leave: {UNSUBSCRIBE_MARK}\n", cte="base64")
    given = whole("ann@a.example", "bob@b.example", raw=raw, stream=Stream.MARKETING)
    found = await made(room, given, paths=OwnReturnPaths(LINKS_ROOT), is_tracked=is_tracked)
    links = set()
    for envelope in found.values():
        shown = part(envelope.content, "html") + part(envelope.content, "plain")
        assert UNSUBSCRIBE_MARK not in shown
        (link,) = set(re.findall(rf"{LINKS_ROOT}/unsubscribe\?token=\w+", shown))
        links.add(link)
    assert len(links) == 2
    (envelope,) = (await made(room, whole(raw=raw), is_tracked=False)).values()
    assert envelope.content.endswith(raw), "it leads nowhere"

"""What a mail's copies get: tokens of each reader's own in links and pixel, a footer where nothing leads out."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import Stream, TrackedMail
from outrider.engine.dress import Dress, Ground, dress_of
from outrider.engine.plans import Plans
from outrider.mail.link_tokens import Kind, Tokens
from outrider.mail.render import Rendered
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.policy.tracking import Terms
from outrider.store.messages import Message

TOKENS = Tokens(b"k" * 32)
BASE = "https://t.shop.example"
ROOT = "https://us.example"
ALL = Terms(opens=TrackedMail.ALL, clicks=TrackedMail.ALL)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ID, READER = UUID(int=1), UUID(int=2)
MESSAGE = Message(ID, ID, Stream.MARKETING, "a@shop.example", "", "Hi", b"", 1, NOW, NOW)


def dressed(terms: Terms = ALL, **message: Any) -> Dress | None:
    ground = Ground(terms=terms, base_url=BASE, host="t.shop.example", links_root=ROOT)
    return dress_of(ground, TOKENS, msgspec.structs.replace(MESSAGE, **message))


def test_a_copy_has_tokens_of_its_reader() -> None:
    worn = dressed()
    assert worn is not None
    bare = Rendered("Hi", '<a href="https://shop.example/x">x</a>', "https://shop.example/x")
    worn_by = [worn.put_on(bare, reader, link="", has_footer=False) for reader in (READER, ID, READER)]
    assert worn_by[0] == worn_by[2] != worn_by[1], "the same on every attempt"
    found = re.fullmatch(rf'<a href="{BASE}/t/(.+?)">x</a><img src="{BASE}/o/(.+?)\.gif".+', worn_by[0].html or "")
    assert found is not None
    told = TOKENS.read(found[1], Kind.LINK, host="t.shop.example")
    assert (told.recipient_id, told.number, told.target) == (READER, 1, "https://shop.example/x")
    assert TOKENS.read(found[2], Kind.PIXEL, host="t.shop.example").recipient_id == READER
    assert worn_by[0].text == bare.text


def test_messages_of_the_same_words_share_a_plan_and_no_tokens() -> None:
    plans = Plans()
    bare = Rendered("Hi", '<a href="https://shop.example/x">x</a>', None)
    copies, sizes = [], []
    for reader in (READER, ID):
        worn = dress_of(Ground(terms=ALL, base_url=BASE), TOKENS, MESSAGE, plans)
        assert worn is not None
        copies.append(worn.put_on(bare, reader, link="", has_footer=False).html)
        worn.put_on(Rendered("Hi", f"<p>{reader}", None), reader, link="", has_footer=False, is_shared=False)
        sizes.append(plans.kept_bytes)
    assert copies[0] != copies[1]
    assert sizes[0] == sizes[1] > 0, "one for both, and none of what is a reader's own"


def test_a_footer_and_the_mark_lead_to_the_readers_page() -> None:
    worn = dressed(Terms())
    assert worn is not None
    assert (worn.has_footer, worn.changes_content) == (True, False)
    assert worn.has_link([None, f"<a href='{ROOT}/unsubscribe?token=x'>"])
    assert worn.has_link([UNSUBSCRIBE_MARK])
    assert not worn.has_link([None, "x"])
    copy = worn.put_on(Rendered("Hi", "<p>x", "x"), READER, link=f"{ROOT}/unsubscribe?token=a&b", has_footer=True)
    assert f'href="{ROOT}/unsubscribe?token=a&amp;b"' in (copy.html or "")
    assert (copy.text or "").endswith(f"-- \nUnsubscribe: {ROOT}/unsubscribe?token=a&b\n")
    assert worn.put_on(Rendered("Hi", "<p>x", "x"), READER, link="", has_footer=True).text is not None


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (Terms(), {"stream": Stream.TRANSACTIONAL}),
        (Terms(opens=TrackedMail.MARKETING), {"stream": Stream.TRANSACTIONAL}),
        (ALL, {"stream": Stream.TRANSACTIONAL, "track_opens": False, "track_clicks": False}),
        (Terms(footer=False), {}),
    ],
)
def test_what_gets_nothing_has_no_dress(terms: Terms, message: dict[str, Any]) -> None:
    assert dressed(terms, **message) is None


def test_without_an_address_of_ours_nothing_is_tracked() -> None:
    assert dress_of(Ground(terms=ALL), TOKENS, MESSAGE) is None
    utm = dress_of(
        Ground(terms=Terms(utm={"utm_source": "{campaign}"})), TOKENS, msgspec.structs.replace(MESSAGE, campaign="x")
    )
    assert utm is not None
    copy = utm.put_on(Rendered("Hi", '<a href="https://a.example">', None), READER, link="", has_footer=False)
    assert copy.html == '<a href="https://a.example?utm_source=x">'

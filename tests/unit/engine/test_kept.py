"""What of a submission is kept: the body, and the names, subject and hash that go with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import ContentAction
from outrider.engine import kept
from outrider.engine.books import AllowedSender, Rewritten
from outrider.engine.submission import Attachment
from outrider.mail import address
from outrider.store import messages
from outrider.store.messages import Body
from outrider.testing.contentbook import verdict
from outrider.testing.engineroom import SENDER, submission

RAW = b"From: Ann <ann@gmail.test>\r\nSender: ann@gmail.test\r\nSubject: x\r\n\r\nbody\r\n"
ALLOWED = AllowedSender(address.parse(SENDER), "Shop")
VIA = AllowedSender(address.parse(SENDER), "Shop", Rewritten(address.parse("ann@gmail.test"), "Mail", "because"))


def test_a_whole_message_is_kept_as_it_is() -> None:
    given = submission(text=None, raw=RAW)
    assert kept.body(given, (), ALLOWED) == Body(raw=RAW)
    assert kept.from_name(given, ALLOWED) == "", "its own header says"


def test_a_from_that_dmarc_would_fail_is_written_anew() -> None:
    given = submission(text=None, raw=RAW, from_name="Ann")
    fields = b"From: Ann via Mail <noreply@shop.example>\r\nSubject: x\r\nReply-To: ann@gmail.test\r\n"
    assert kept.body(given, (), VIA).raw == fields + b"\r\nbody\r\n"


def test_without_a_name_the_senders_own_is_taken() -> None:
    assert kept.from_name(submission(), ALLOWED) == "Shop"
    assert kept.from_name(submission(from_name="Own"), ALLOWED) == "Own"
    assert kept.from_name(submission(), VIA) == "Shop via Mail"


@pytest.mark.parametrize(
    "changes",
    [
        {"raw": RAW, "text": None},
        {"subject": "y"},
        {"attachments": (Attachment(name="a", type="b/c", content=b"d"),)},
    ],
)
def test_a_hash_tells_submissions_apart(changes: dict[str, Any]) -> None:
    assert kept.request_hash(submission()) == kept.request_hash(submission())
    assert kept.request_hash(submission(**changes)) != kept.request_hash(submission())
    with pytest.raises(CallerError):
        kept.request_hash(submission("\ud800@a.example"))


@pytest.mark.parametrize(
    ("action", "field"), [(ContentAction.TAG, b"X-Spam-Score: 7.5\r\n"), (ContentAction.PASS, b"")]
)
def test_the_score_stands_in_a_whole_message_with_its_from_rewritten(action: ContentAction, field: bytes) -> None:
    found = kept.body(submission(text=None, raw=RAW), (), VIA, verdict(action)).raw
    assert found is not None
    assert found.startswith(b"From: ")
    assert found.partition(b"\r\n\r\n")[0].count(b"X-Spam-Score") == bool(field)
    assert field in found


def test_who_is_not_shown_is_gone_from_to_and_cc_alone() -> None:
    given = Body("ann@a.example", shown_to=("Ann <Ann@A.example>", "bob@b.example"), shown_cc=("cat@c.example",))
    found = messages.decode_body(kept.unshown(messages.encode_body(given), {"ann@a.example", "cat@c.example"}))
    assert found == Body("ann@a.example", shown_to=("bob@b.example",))


def test_content_is_stored_under_a_name_of_its_day() -> None:
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert kept.content_hash(b"x", noon) == kept.content_hash(b"x", noon + timedelta(hours=11))
    assert kept.content_hash(b"x", noon) != kept.content_hash(b"x", noon + timedelta(hours=12))
    assert kept.content_hash(b"x", noon) != kept.content_hash(b"y", noon)

"""Every kind, state and cause of a DNS record is on the page for the people who publish them."""

from outrider.base.vocab import RecordCause, RecordState
from tests.docs.pages import ROOT

PAGE = "docs/howto/dns-records.md"


def test_every_state_and_cause_is_explained() -> None:
    text = (ROOT / PAGE).read_text("utf-8")
    words = [*RecordState, *(cause for cause in RecordCause if cause)]
    assert [word.value for word in words if f"`{word.value}`" not in text] == []

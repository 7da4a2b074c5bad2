"""What all pages share: everything escaped, nothing loaded from elsewhere, forms only where they are meant."""

import pytest

from outrider.faces.console.pages import Pages
from tests.unit.faces.conftest import StillClock


@pytest.mark.parametrize(("may_submit", "target"), [(False, "'none'"), (True, "'self'")])
def test_a_form_leads_nowhere_or_back(clock: StillClock, may_submit: bool, target: str) -> None:
    page = Pages(clock, may_submit=may_submit).render("unproven.html", 404, sentence="<b>No</b>")
    assert page.status_code == 404
    policy = page.headers["content-security-policy"]
    assert f"form-action {target};" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "&lt;b&gt;No" in page.content


def test_what_every_page_knows_is_given_once(clock: StillClock) -> None:
    page = Pages(clock, sentence="Known.").render("unproven.html")
    assert "Known." in page.content

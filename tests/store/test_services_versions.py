"""Versions: how many are kept, and what texts and names are taken."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.services.templates import versions
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from outrider.testing.templateroom import TemplateRoom

pytestmark = pytest.mark.newest


async def test_old_versions_are_let_go_of_but_never_what_is_sent(
    store: Store, clock: FakeClock, mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TEMPLATE_VERSIONS_COUNT_MAX", 2)
    office = await TemplateRoom(store, clock, mailroom).open()
    template_id = (await office.put()).template.template_id
    for number in range(2, 7):
        assert (await office.edit(template_id, f"<p>{number}</p>")).version.number == number
    kept = await office.templates.list_versions(office.shop, template_id)
    assert [one.number for one in kept] == [6, 5, 1]
    assert await office.sent() == 1


@pytest.mark.parametrize("name", ["footer", "a", "footer.html", "A_1-2", "x" * 100])
def test_a_partial_may_be_called_so(name: str) -> None:
    assert versions.is_partial_name(name)


@pytest.mark.parametrize("name", ["", "/footer", "shop/footer", ".x", "a b", "é", "a\n", "x" * 101, "\x00"])
def test_a_partial_may_not_be_called_so(name: str) -> None:
    assert not versions.is_partial_name(name)


def test_a_text_is_for_people() -> None:
    versions.check_text("", 5, field="reason", is_required=False)
    versions.check_text("fünf!", 5, field="reason")
    for wrong in ("", "sechs!", "a\nb", "\u202e"):
        with pytest.raises(CallerError) as caught:
            versions.check_text(wrong, 5, field="reason")
        assert caught.value.field == "reason"

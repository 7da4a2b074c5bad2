"""Mail is tried before it is accepted: who cannot get one is told why, nobody else waits, no call takes for ever."""

from typing import Any

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.engine import fill
from outrider.engine.fill import Filler, Filling
from outrider.engine.submission import Personal, Rejected, Submission
from outrider.mail import address
from outrider.mail.templating import Source, SourceVariant, compile_source
from outrider.testing.engineroom import submission
from outrider.testing.templates import personal, template, templated


class Watch:
    """A clock that goes on by `step_s` at each look, and counts who was let go first."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.step_s, self.at_s, self.turns = step_s, 0.0, 0

    def now(self) -> Any:
        raise AssertionError("nothing here asks for the time of day")

    def monotonic_s(self) -> float:
        self.at_s += self.step_s
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        assert delay_s == 0
        self.turns += 1


def call(*own: Personal, **changes: Any) -> Submission:
    to = [f"u{n}@a.example" for n in range(len(own))]
    return submission(*to, **{"subject": "", "text": None, "templated": templated(), "personal": own} | changes)


async def tried(given: Submission, *, clock: Watch | None = None, has_links: bool = True) -> tuple[Any, Any]:
    filler = Filler(clock=clock or Watch(), has_links=has_links)
    return await filler.try_all(given, [(address.parse(text), at) for at, text in enumerate(given.recipients)])


async def test_what_fills_it_in_comes_back_as_it_is_stored() -> None:
    own = Personal({"name": "Ann", "code": 7, "lines": [{"a": 1.5, "b": None}]}, "de")
    kept, rejected = await tried(call(own))
    assert rejected == []
    assert [type(one) for one in kept] == [Filling]
    assert fill.read(kept[0].personal) == own


async def test_who_needs_nothing_has_nothing_stored() -> None:
    given = call(Personal(), templated=type(templated())(template=template("Hi", None, "Hello")))
    kept, _ = await tried(given)
    assert kept[0].personal is None
    assert fill.read(None) == Personal()


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (personal(name="Ann"), "code"),
        (personal(code="1"), "name"),
        (personal(name="x" * (limits.PERSONAL_BYTES_MAX + 1), code="1"), "at most"),
        (personal(name="\ud800", code="1"), "half a character"),
        (personal(name="Ann", code=2**70), "64 bits"),
        (personal(name="x" * 300, code="1"), "200"),
        (personal(name="a\x00b", code="1"), "NUL"),
        (personal(name="a\x07b", code="1"), "control"),
        (personal(name="Ann", code="a\x00b"), "NUL"),
    ],
)
async def test_only_whose_mail_cannot_be_made_is_rejected(own: Personal, words: str) -> None:
    kept, rejected = await tried(call(personal(name="Ok", code="1"), own))
    assert [one.address.text for one in kept] == ["u0@a.example"]
    assert [type(one) for one in rejected] == [Rejected]
    assert rejected[0].address == "u1@a.example"
    assert words in rejected[0].reason


async def test_a_subject_or_content_that_came_out_empty_is_none() -> None:
    hollow = type(templated())(template=template("{{ a }}", None, "{{ b }}"))
    _, rejected = await tried(call(personal(a=" ", b="x"), personal(a="x", b=" "), templated=hollow))
    assert [one.reason for one in rejected] == ["The subject is empty.", "The content is empty."]


async def test_other_callers_get_their_turn() -> None:
    clock = Watch(limits.RENDER_TURN_S_MAX * 0.6)
    await tried(call(*[personal(name="A", code="1")] * 20), clock=clock)
    assert clock.turns == 10


async def test_a_call_that_takes_too_long_is_refused() -> None:
    with pytest.raises(CallerError, match="too long") as caught:
        await tried(call(*[personal(name="A", code="1")] * 100), clock=Watch(limits.RENDER_CALL_S_MAX / 50))
    assert caught.value.field == "template"


async def test_a_hostile_template_is_refused_for_all_before_it_has_cost_much() -> None:
    source = Source(
        variants=(
            SourceVariant(
                subject="x", body="{% for a in range(5000) %}{% for b in range(5000) %}{{ b }}{% endfor %}{% endfor %}"
            ),
        )
    )
    given = type(templated())(template=compile_source(source, {}).template)
    with pytest.raises(CallerError) as caught:
        await tried(call(*[Personal()] * 100, templated=given))
    assert caught.value.field == "template"


async def test_a_link_that_leads_nowhere_is_refused() -> None:
    shows = type(templated())(template=template("Hi", None, "{{ unsubscribe_link }}"))
    assert len((await tried(call(Personal(), templated=shows)))[0]) == 1
    with pytest.raises(CallerError, match="public_url"):
        await tried(call(Personal(), templated=shows), has_links=False)


def test_plain_content_shows_the_link_only_where_there_is_one() -> None:
    shows = submission(html="<a href='%%user_defined_unsubscribe_link%%'>", text=None)
    Filler(clock=Watch(), has_links=True).check_links(shows)
    with pytest.raises(CallerError, match="public_url") as caught:
        Filler(clock=Watch(), has_links=False).check_links(shows)
    assert caught.value.field == "html"
    Filler(clock=Watch(), has_links=False).check_links(submission())

"""A call may be its own template: compiled once for the same words, its faults named."""

import asyncio

import pytest

from outrider.base.errors import CallerError
from outrider.engine.inline import Inliner
from outrider.mail.render import Renderer


async def test_the_same_words_are_compiled_once() -> None:
    compile_inline = Inliner()
    first = await compile_inline("Hi {{ name }}", "<p>{{ code }}</p>", None)
    assert await compile_inline("Hi {{ name }}", "<p>{{ code }}</p>", None) is first
    assert await compile_inline("Hi {{ name }}", None, "{{ code }}") is not first
    assert (first.template_id, first.number, first.stream) == ("", 0, None)
    mail = Renderer(first.template).render({"name": "Ann", "code": "<7>"})
    assert (mail.subject, mail.html) == ("Hi Ann", "<p>&lt;7&gt;</p>")


async def test_text_alone_is_text_alone() -> None:
    made = await Inliner()("Hi", None, "{{ code }}")
    mail = Renderer(made.template).render({"code": "<7>"})
    assert (mail.html, (mail.text or "").strip()) == (None, "<7>")


async def test_many_at_once_are_all_answered() -> None:
    compile_inline = Inliner()
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(compile_inline(f"Hi {n % 3}", None, "{{ code }}")) for n in range(12)]
    assert {Renderer(one.result().template).render({"code": "1"}).subject for one in made} == {"Hi 0", "Hi 1", "Hi 2"}


@pytest.mark.parametrize(
    ("subject", "html", "text", "field"),
    [("{{ a", "x", None, "subject"), ("a", "{% if %}", None, "body"), ("a", "x", "{{ a", "text")],
)
async def test_the_part_at_fault_is_named(subject: str, html: str, text: str | None, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        await Inliner()(subject, html, text)
    assert caught.value.field == field

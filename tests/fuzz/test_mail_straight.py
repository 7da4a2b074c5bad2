"""A mail that is filled in without minijinja is the one that minijinja makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError
from outrider.mail import straight
from outrider.mail.render import Rendered, Renderer
from outrider.mail.templating import Source, SourceVariant, Syntax, compile_source

NAMES = ("name", "code", "items", "1", "first-name")
_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_pieces = st.lists(_words.map(lambda text: text.replace("{", "(")) | st.sampled_from([f"{{{n}}}" for n in NAMES]))
_values = st.fixed_dictionaries(dict.fromkeys(NAMES, _words | st.just("<a href='/x'>&amp;\"")))


def rendered(renderer: Renderer, variables: dict[str, str]) -> Rendered | str:
    try:
        return renderer.render(variables, unsubscribe_link="https://x.example/u?a=1&b=2")
    except CallerError as error:
        return error.public


@given(subject=_pieces, body=_pieces, text=_pieces | st.none(), variables=_values)
def test_both_ways_make_the_same_mail(
    subject: list[str], body: list[str], text: list[str] | None, variables: dict[str, str]
) -> None:
    variant = SourceVariant(
        subject="".join(subject),
        preheader="{name}",
        body=f"<p>{''.join(body)}</p>",
        text=None if text is None else "".join(text),
    )
    try:
        template = compile_source(Source(syntax=Syntax.BRACES, variants=(variant,)), {}).template
    except CallerError:
        return
    fast = rendered(Renderer(template), variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(straight, "read_letter", lambda *_: None)
        slow = rendered(Renderer(template), variables)
    assert fast == slow

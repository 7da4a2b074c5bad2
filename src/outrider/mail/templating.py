"""From what an author wrote to a `Template`: MJML and CSS worked out, partials taken in, a text part made. Pure, slow.

    source --syntax--> minijinja --partials--> --mjml--> html --css inlined--> --preheader--> Variant

Done once per version, in milliseconds; never on the way of a mail.
"""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from outrider.base import limits
from outrider.base.errors import CallerError, TemplateError
from outrider.mail import language_tag, styling, translate
from outrider.mail.render import PREHEADER, Renderer, Template, Variant
from outrider.mail.translate import TAG, UNSUBSCRIBE_LINK, VALUE


class Markup(enum.StrEnum):
    """What `body` of a source is written in."""

    HTML = "html"  # Also what a rich-text or drag-and-drop editor has made.
    MJML = "mjml"
    TEXT = "text"


class Syntax(enum.StrEnum):
    """How variables are written."""

    JINJA = "jinja"  # {{ name }}, {% if ... %}: all of minijinja.
    BRACES = "braces"  # uSpeedo's {name}, {1}; all else is text, so that CSS may stand there.


class SourceVariant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the author wrote, in one language."""

    locale: str = ""
    subject: str
    preheader: str = ""
    body: str
    text: str | None = None  # None: made from the body.


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the author wrote: `template_version.source`, as MessagePack."""

    markup: Markup = Markup.HTML
    syntax: Syntax = Syntax.JINJA
    variants: tuple[SourceVariant, ...]
    defaults: Mapping[str, str | int | float | bool | None] = {}
    is_lenient: bool = False
    editor: str = ""  # The editor's own word: uSpeedo's "1" (rich text) or "2" (drag and drop).
    document: str = ""  # The editor's own document, given back as it came (uSpeedo's JsonContent).


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A template, and what is known of it."""

    template: Template
    variables: Sequence[str]  # Names that it reads and has no default for, sorted; of all variants.
    partials: Sequence[str]  # Names of the partials that are in it, sorted.
    sample: Mapping[str, object]  # A value for each variable, for a preview: its name in brackets.


def compile_source(source: Source, partials: Mapping[str, str]) -> Compiled:
    """Return the template.

    Args:
        partials: sources by name, as `{% include "name" %}`, `{% extends "name" %}` and `{% import %}` ask for them.

    Raises:
        TemplateError: `field` names the part ("subject", "body", "text", "preheader", "locale", "partials.NAME"), the
            text says where and why: syntax, an unknown partial, a circle of partials, MJML that is none, a size over
            its limit.
    """
    if not source.variants:
        raise TemplateError("A template has at least one variant.", field="variants")
    if len(source.variants) > limits.TEMPLATE_VARIANTS_COUNT_MAX:
        raise TemplateError(f"It has over {limits.TEMPLATE_VARIANTS_COUNT_MAX} variants.", field="variants")
    for each in source.variants:
        if each.locale and not language_tag.is_tag(each.locale):
            shown = each.locale[: limits.LOCALE_CHARS_MAX]
            raise TemplateError(f"{shown!r} is no language tag, such as de or pt-BR.", field="locale")
    if len({language_tag.normalise(each.locale) for each in source.variants}) < len(source.variants):
        raise TemplateError("Two variants are for one locale.", field="variants")
    reader = _Reader(source, partials)
    variants = tuple(reader.variant(each) for each in source.variants)
    template = Template(
        variants=variants,
        defaults=source.defaults,
        is_lenient=source.is_lenient,
        is_braces=source.syntax == Syntax.BRACES,
    )
    Renderer(template).check()
    known = {*source.defaults, UNSUBSCRIBE_LINK, PREHEADER}
    names = sorted(name for name in reader.names if name.partition(".")[0] not in known and name not in known)
    return Compiled(
        template=template,
        variables=names,
        partials=sorted(reader.partials),
        sample=_sample(reader.shapes, {*source.defaults, UNSUBSCRIBE_LINK, PREHEADER}),
    )


def read_param(text: str) -> tuple[str, str]:
    """Return name and value of uSpeedo's `name{##}value`; one pair of braces around the name is taken off.

    Raises:
        CallerError: it has not that form.
    Source: shared/uspeedo.md 3.
    """
    name, mark, value = text.partition("{##}")
    name = name.strip()
    if name.startswith("{") and name.endswith("}"):
        name = name[1:-1].strip()
    if not mark or not name or len(name) > limits.VARIABLE_NAME_CHARS_MAX:
        raise CallerError("A variable is written name{##}value.", field="TemplateVariableParams")
    return name, value


# Shown only when there is one: a call may bring its own.
_PREHEADER_TAGS: Final = "".join(
    [
        f"{TAG[0]} if {PREHEADER} {TAG[1]}",
        styling.HIDDEN[0],
        f"{VALUE[0]} {PREHEADER} {VALUE[1]}",
        styling.HIDDEN[1],
        f"{TAG[0]} endif {TAG[1]}",
    ]
)


class _Reader:
    """Reads the variants of one source, and gathers what is known of them."""

    def __init__(self, source: Source, partials: Mapping[str, str]) -> None:
        self._source: Final = source
        self._partials: Final = partials
        self.names: Final[set[str]] = set()
        self.partials: Final[set[str]] = set()
        self.shapes: Final[set[str]] = set()

    def variant(self, wrote: SourceVariant) -> Variant:
        """Return one variant, finished. Raises TemplateError."""
        subject, preheader = self._read("subject", wrote.subject), self._read("preheader", wrote.preheader)
        body = self._read("body", wrote.body)
        html = None if self._source.markup == Markup.TEXT else self._html(body)
        if wrote.text is not None:
            text: str | None = self._read("text", wrote.text)
        else:
            text = body if html is None else styling.to_text(html)
        if html is not None and not styling.has_preheader(body):
            html = styling.place_preheader(html, _PREHEADER_TAGS)
        return Variant(
            locale=wrote.locale,
            subject=translate.weigh(subject),
            preheader=translate.weigh(preheader),
            html=None if html is None else translate.weigh(html),
            text=None if text is None else translate.weigh(text),
        )

    def _read(self, part: str, text: str) -> str:
        try:
            if self._source.syntax == Syntax.BRACES:
                found = translate.translate_braces(text)
            else:
                found = translate.translate(text, self._partials)
        except TemplateError as error:
            raise TemplateError(f"{error.field or part}: {error.public}", field=error.field or part) from None
        self.names.update(found.variables)
        self.partials.update(found.partials)
        self.shapes.update(found.shapes)
        return found.text

    def _html(self, body: str) -> str:
        try:
            return styling.work_mjml(body) if self._source.markup == Markup.MJML else styling.inline_css(body)
        except TemplateError as error:
            raise TemplateError(f"body: {error.public}", field="body") from None


def _sample(shapes: Iterable[str], known: Collection[str]) -> dict[str, object]:
    """Return a value for each variable: a number, its name in brackets, a list of one."""
    tree: dict[str, Any] = {}
    for shape in sorted(shapes):
        path, is_number, _ = shape.partition("=1")
        steps = path.split(".")
        if steps[0] in known:
            continue
        at = tree
        for step in steps[:-1]:
            inner = at.get(step)
            at[step] = inner if isinstance(inner, dict) else {}
            at = at[step]
        name = [step for step in steps if step != "[]"][-1]
        at.setdefault(steps[-1], 1 if is_number else f"[{name}]")
    return {name: _grown(value) for name, value in tree.items()}


def _grown(value: Any) -> object:
    if not isinstance(value, dict):
        return value
    if "[]" in value:
        return [_grown(value["[]"])]
    return {name: _grown(inner) for name, inner in value.items()}

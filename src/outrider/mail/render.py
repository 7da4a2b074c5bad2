"""From a template and one recipient's variables to the subject and the texts of its mail. Pure; minijinja does it.

    compile (once per version: `mail.templating`)  -->  Template  -->  Renderer  -->  Rendered, for each recipient

A `Template` is all that is needed: partials are in it, MJML and CSS are worked out, the preheader has its place. So a
message can keep it as its body, and nothing that happens to the stored template later changes an accepted mail.

Rendering is bounded: fuel for the steps of a template, characters for what comes out. Whoever is over a bound gets a
`TemplateError` that names the part at fault. HTML is escaped unless the author says `|safe`; subject, preheader and
plain text are not escaped, and line breaks in a subject become spaces.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import minijinja
import msgspec

from outrider.base import limits
from outrider.base.errors import TemplateBoundError
from outrider.base.errors import TemplateError as TemplateError  # noqa: PLC0414 - who renders catches it.
from outrider.mail import guard, language_tag, straight, translate
from outrider.mail.filters import Filters
from outrider.mail.straight import Letter
from outrider.mail.translate import COMMENT, MADE, RESERVED, TAG, UNSUBSCRIBE_LINK, VALUE

_GAPS: Final = re.compile(r"\n[\n ]*\n")
_LETTERS_COUNT_MAX: Final = 16  # Ours: of one template; calls with subjects of their own.
PREHEADER: Final = "preheader"  # The variable by which the HTML part shows it.

_SHOWN: Final = str.maketrans(dict(zip(VALUE + TAG, ("{{", "}}", "{%", "%}"), strict=True)))


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """A template in one language, as minijinja reads it: finished but for the variables."""

    locale: str  # "de", "pt-BR" as RFC 5646 writes them; "" for the only or default one.
    subject: str
    preheader: str  # "" for none. The HTML has its place already: {{ preheader }}.
    html: str | None
    text: str | None  # Made from the HTML when the author wrote none; one of the two is there.


class Template(msgspec.Struct, frozen=True, array_like=True):
    """All that rendering needs."""

    variants: tuple[Variant, ...]  # At least one; the first is the one to fall back to.
    defaults: Mapping[str, str | int | float | bool | None] = {}  # For variables that a recipient has not.
    is_lenient: bool = False  # An unknown variable is empty; else it is an error that names it.
    is_braces: bool = False  # Its author's tags are {name}: how a call's own subject is read.


class Rendered(msgspec.Struct, frozen=True):
    """One recipient's mail."""

    subject: str
    html: str | None
    text: str | None


class Renderer:
    """A template made ready. Safe to use for many recipients, one after the other, in one thread."""

    def __init__(self, template: Template) -> None:
        """Compile it. Raises TemplateError."""
        self._template: Final = template
        self._purse: Final = guard.Purse(is_lenient=template.is_lenient)
        self._engine = _engine(self._purse)
        self._variants: Final[dict[str, Variant]] = {}
        self._known: Final[dict[str, str]] = {}
        self._translated: Final[dict[str, str]] = {}
        self._letters: Final[dict[tuple[str, str | None, str | None], Letter | None]] = {}
        for variant in template.variants:
            self._variants.setdefault(language_tag.normalise(variant.locale), variant)

    def check(self) -> None:
        """Let minijinja read every part. Raises TemplateError."""
        for variant in self._template.variants:
            for part, source in (
                ("subject", variant.subject),
                ("preheader", variant.preheader),
                ("html", variant.html),
                ("text", variant.text),
            ):
                try:
                    self._engine.add_template("checked", source or "")
                except minijinja.TemplateError as error:
                    raise _explain(part, error) from None

    @property
    def has_unsubscribe(self) -> bool:
        """Whether some part shows the recipient's own link to unsubscribe."""
        return any(_shows_link(part) for variant in self._template.variants for part in (variant.html, variant.text))

    def render(
        self,
        variables: Mapping[str, object],
        *,
        locale: str = "",
        unsubscribe_link: str = "",
        subject: str | None = None,
        preheader: str | None = None,
    ) -> Rendered:
        """Return the recipient's mail.

        Args:
            variables: JSON values by name.
            locale: the variant for it, else for less and less of it (`zh-Hant-TW`, `zh-Hant`, `zh`), else the first.
            subject, preheader: a call's own, in place of the template's; as templates too.

        Raises:
            TemplateError: names the variable that is missing, or the bound that was passed.
        """
        variant = language_tag.look_up(self._variants, locale) or self._template.variants[0]
        given = {**self._template.defaults, **variables} if self._template.defaults else variables
        letter = self._letter(variant, subject, preheader)
        if letter is not None:
            filled = letter.fill(given, {UNSUBSCRIBE_LINK: unsubscribe_link}, preheader=PREHEADER)
            if filled is not None:
                text = filled.text if filled.text is None else _closed(variant.text or "", filled.text)
                return Rendered(_one_line(filled.subject), filled.html, text)
        values, longest = guard.own(given)
        values[UNSUBSCRIBE_LINK] = unsubscribe_link
        self._purse.open(max(longest, len(unsubscribe_link)))
        line = self._part("subject", variant, variant.subject if subject is None else self._own(subject), values)
        values[PREHEADER] = self._part(
            "preheader", variant, variant.preheader if preheader is None else self._own(preheader), values
        )
        return Rendered(
            subject=_one_line(line),
            html=None if variant.html is None else self._part("html", variant, variant.html, values),
            text=None if variant.text is None else self._part("text", variant, variant.text, values),
        )

    def _letter(self, variant: Variant, subject: str | None, preheader: str | None) -> Letter | None:
        """Return the mail as one that needs no minijinja, None if it does; kept, as for `_own`."""
        key = (variant.locale, subject, preheader)
        if key not in self._letters:
            if len(self._letters) >= _LETTERS_COUNT_MAX:
                self._letters.clear()
            self._letters[key] = straight.read_letter(
                variant.subject if subject is None else self._own(subject),
                variant.preheader if preheader is None else self._own(preheader),
                variant.html,
                variant.text,
            )
        return self._letters[key]

    def _own(self, text: str) -> str:
        """Return a call's own subject or preheader, translated; kept, as all its recipients have the same."""
        if text not in self._translated:
            self._translated.clear()
            read = translate.translate_braces(text) if self._template.is_braces else translate.translate(text, {})
            self._translated[text] = translate.weigh(read.text)
        return self._translated[text]

    def _part(self, part: str, variant: Variant, source: str, values: Mapping[str, object]) -> str:
        if not RESERVED.search(source):
            return source
        name = f"{part} {variant.locale}" if source is getattr(variant, part) else f"own {part}"
        self._purse.is_html = part == "html"
        try:
            if self._known.get(name) is not source:
                self._engine.add_template(name, source)
                self._known[name] = source
            return _closed(source, self._engine.render_template(name, **values))
        except guard.MissingError as error:
            missing = self._find_missing(name, values)
            raise TemplateError(f"{part}: no value for {missing or 'a variable'}.", field=missing or part) from error
        except TemplateError as error:
            raise type(error)(f"{part}: {error.public}", field=error.field or part) from None
        except minijinja.TemplateError as error:
            raise _explain(part, error) from None
        except (TypeError, ValueError, ArithmeticError, RecursionError):  # Raised in a filter of ours, by Python.
            raise TemplateError(f"{part}: a filter has other values than it takes.", field=part) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            self._engine = _engine(self._purse)  # minijinja gave up (a bug of it), and its lock is broken.
            self._known.clear()
            raise TemplateError(f"{part}: it cannot be rendered.", field=part) from None

    def _find_missing(self, name: str, values: Mapping[str, object]) -> str:
        """Return the first variable of a part that is not there, as a function of ours could not say which."""
        for path in sorted(self._engine.undeclared_variables_in_template(name, nested=True)):
            value: object = values
            for step in path.split("."):
                if not isinstance(value, Mapping | guard.Fields) or step not in value:
                    if not step.startswith("_g_"):
                        return guard.unfold(path)
                    break
                value = value[step]
        return ""


def literal(subject: str, html: str | None, text: str | None) -> Template:
    """Return the template that renders to just this, but for uSpeedo's %%user_defined_unsubscribe_link%%."""
    return Template(variants=(Variant("", _plain(subject), "", html and _plain(html), text and _plain(text)),))


def shown(part: str) -> str:
    """Return a part of a template for people to read, its tags as `{{ name }}`."""
    return part.translate(_SHOWN)


def locales(template: Template) -> Sequence[str]:
    """Return the locales it has, the default one first."""
    return [variant.locale for variant in template.variants]


def _closed(source: str, made: str) -> str:
    """Return what came out, without the gaps that what is left out leaves in a text that was made of HTML."""
    return _GAPS.sub("\n\n", made.strip("\n ")) + "\n" if source.startswith(MADE) else made


def _plain(text: str) -> str:
    return translate.unsubscribing(RESERVED.sub("\ufffd", text))


def _shows_link(part: str | None) -> bool:
    return part is not None and UNSUBSCRIBE_LINK in part


def _engine(purse: guard.Purse) -> minijinja.Environment:
    own = Filters(purse)
    return minijinja.Environment(
        debug=True,  # Its errors name what was undefined.
        fuel=limits.RENDER_FUEL_COUNT_MAX,
        undefined_behavior="chainable" if purse.is_lenient else "strict",
        pycompat=False,
        keep_trailing_newline=True,
        auto_escape_callback=lambda name: name.startswith("html"),
        finalizer=purse.show,
        filters=own.filters(),
        globals=own.functions(),
        variable_start_string=VALUE[0],
        variable_end_string=VALUE[1],
        block_start_string=TAG[0],
        block_end_string=TAG[1],
        comment_start_string=COMMENT[0],
        comment_end_string=COMMENT[1],
    )


def _explain(part: str, error: minijinja.TemplateError) -> TemplateError:
    """Return minijinja's error in our words. It never holds the source: that is another audience's."""
    match error.kind:
        case "UndefinedError":
            found = re.search("`(.+)` is undefined", error.detail or "")
            name = guard.unfold(found[1]) if found else ""
            return TemplateError(f"{part}: no value for {name or 'a variable'}.", field=name or part)
        case "OutOfFuel":
            return TemplateBoundError(f"{part}: the template takes too many steps.", field=part)
        case _:
            return TemplateError(f"{part}: {guard.unfold(error.detail or error.message)}.", field=part)


def _one_line(text: str) -> str:
    line = " ".join(text.split()) if re.search(r"[\r\n\t\0]|  ", text) else text.strip()
    if "\0" in line:
        raise TemplateError("subject: it holds a NUL character.", field="subject")
    if len(line) > limits.SUBJECT_CHARS_MAX:
        raise TemplateError(f"subject: it has over {limits.SUBJECT_CHARS_MAX} characters.", field="subject")
    return line

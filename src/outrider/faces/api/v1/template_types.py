"""The records of the JSON of /v1/templates, and from them to a source and back.

A template in one language is written with `subject` and `body` at the top; one in several with `variants`, the first of
which is for everybody else. What the words in a template mean is in docs/howto/templates.md.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.errors import CallerError, MissingFieldError
from outrider.base.vocab import Stream, TemplateState, VersionState
from outrider.faces.api.v1.content import FaultShown
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax
from outrider.services.templates.templates import ListedTemplate, StoredTemplate, TemplateDetails, VersionFacts

Default = str | int | float | bool | None
_SUBJECT: Final = Meta(examples=["Hello {{ name }}"])
_BODY: Final = Meta(description="HTML, MJML or text, as `markup` says.", examples=["<p>Hi {{ name }}</p>"])
_TEXT: Final = Meta(description="The plain text beside it; null: made from the body.")
_PREHEADER: Final = Meta(description="What a list of mail shows behind the subject.")
_DEFAULTS: Final = Meta(description="Values of variables that a recipient has not.")
_LENIENT: Final = Meta(description="true: an unknown variable is empty, not an error that names it.")
_SYNTAX: Final = Meta(description="jinja: {{ name }}; braces: {name}, all else is text.")
_PUBLISH: Final = Meta(description="true: publish it at once, or hand it in where somebody must approve.")
_VARIABLES: Final = Meta(description="For the others there are samples.", examples=[{"name": "Ann"}])
_NUMBER: Final = Meta(ge=1, le=limits.TEMPLATE_NUMBER_COUNT_MAX, description="A version; null: the newest.")


class VariantGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template in one language."""

    locale: Annotated[str, Meta(examples=["de", "pt-BR"])] = ""
    subject: Annotated[str, _SUBJECT]
    body: Annotated[str, _BODY]
    preheader: Annotated[str, _PREHEADER] = ""
    text: Annotated[str | None, _TEXT] = None


class SourceGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a template says: `subject` and `body`, or `variants`."""

    subject: Annotated[str | UnsetType, _SUBJECT] = UNSET
    body: Annotated[str | UnsetType, _BODY] = UNSET
    preheader: Annotated[str | UnsetType, _PREHEADER] = UNSET
    text: Annotated[str | UnsetType | None, _TEXT] = UNSET
    variants: Annotated[list[VariantGiven] | UnsetType, Meta(description="In several languages.")] = UNSET
    markup: Annotated[Markup | UnsetType, Meta(description="What the body is written in. Without it: html.")] = UNSET
    syntax: Annotated[Syntax | UnsetType, _SYNTAX] = UNSET
    defaults: Annotated[dict[str, Default] | UnsetType, _DEFAULTS] = UNSET
    is_lenient: Annotated[bool | UnsetType, _LENIENT] = UNSET

    def source(self) -> Source:
        """Return it as a source of its own. Raises CallerError, MissingFieldError."""
        if self.variants is UNSET:
            for name in ("subject", "body"):
                if getattr(self, name) is UNSET:
                    raise MissingFieldError(f"A template has a {name}, or variants.", field=name)
        return self.edited(Source(variants=(SourceVariant(subject="", body=""),)))

    def edited(self, source: Source) -> Source:
        """Return the source with what is given in its place. Raises CallerError."""
        first = {name: getattr(self, name) for name in ("subject", "body", "preheader", "text")}
        first = {name: value for name, value in first.items() if value is not UNSET}
        changes = {name: getattr(self, name) for name in ("markup", "syntax", "defaults", "is_lenient")}
        changes = {name: value for name, value in changes.items() if value is not UNSET}
        if not isinstance(self.variants, UnsetType):
            if first:
                raise CallerError("It is in `variants`, or at the top, not in both.", field=next(iter(first)))
            changes["variants"] = tuple(SourceVariant(**msgspec.structs.asdict(one)) for one in self.variants)
        elif first:
            if "body" in first:
                first.setdefault("text", None)  # What was made from the old one goes with it.
            changes["variants"] = (msgspec.structs.replace(source.variants[0], **first), *source.variants[1:])
        return msgspec.structs.replace(source, **changes)


class NewTemplate(SourceGiven, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template to be stored."""

    name: Annotated[str, Meta(examples=["Welcome"])]
    stream: Stream = Stream.TRANSACTIONAL
    publish: Annotated[bool, _PUBLISH] = False


class TemplateChange(SourceGiven, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. Name and stream count at once, the rest is a new version."""

    name: str | UnsetType = UNSET
    stream: Stream | UnsetType = UNSET
    publish: Annotated[bool, _PUBLISH] = False

    @property
    def edit(self) -> Callable[[Source], Source] | None:
        """What makes the new version of the old; None: nothing of it changes."""
        names = SourceGiven.__struct_fields__
        return None if all(getattr(self, name) is UNSET for name in names) else self.edited


class Publishing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version to publish."""

    number: Annotated[int, _NUMBER] | None = None


class Disabling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: str = ""


class Filling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to fill a template in with, to look at it."""

    variables: Annotated[dict[str, Any], _VARIABLES] = {}
    locale: str = ""
    number: Annotated[int, _NUMBER] | None = None


class SourceFilling(SourceGiven, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template that is not stored, and what to fill it in with."""

    variables: Annotated[dict[str, Any], _VARIABLES] = msgspec.field(default_factory=dict)
    locale: str = ""
    stream: Annotated[Stream, Meta(description="The kind of mail that it is read as.")] = Stream.TRANSACTIONAL


class TemplateTest(Filling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom to send a template, and filled in with what."""

    to: Annotated[list[str], Meta(min_length=1, max_length=limits.TEMPLATE_TEST_RECIPIENTS_COUNT_MAX)]
    sender: Annotated[str, Meta(description="Without it: the project's default sender.")] = msgspec.field(
        name="from", default=""
    )


class TemplateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A template. What is sent of it, else what would be edited, is `subject` and `variables`."""

    id: str
    name: str
    stream: Stream
    state: Annotated[TemplateState, Meta(description="approved: its mail may be sent.")]
    state_reason: str
    is_blocked: Annotated[bool, Meta(description="An operator has disabled it.")]
    published_number: Annotated[int | None, Meta(description="The version that is sent; null: none.")]
    head_number: Annotated[int, Meta(description="The version that an edit goes on from.")]
    subject: str
    variables: Sequence[str]
    created_at: datetime
    updated_at: datetime


class TemplateList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first."""

    templates: Sequence[TemplateShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class VersionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template."""

    number: int
    state: VersionState
    subject: str
    variables: Annotated[Sequence[str], Meta(description="Those without a default.")]
    partials: Sequence[str]
    created_at: datetime
    published_at: datetime | None


class VersionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first."""

    versions: Sequence[VersionShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class VariantShown(msgspec.Struct, frozen=True, kw_only=True):
    """A template in one language, as it was written."""

    locale: str
    subject: str
    body: str
    preheader: str
    text: str | None


class TemplateWhole(TemplateShown, frozen=True, kw_only=True):
    """A template with one of its versions, as it was written."""

    version: VersionShown
    markup: Markup
    syntax: Syntax
    variants: Sequence[VariantShown]
    defaults: Mapping[str, Default]
    is_lenient: bool
    editor: Annotated[str, Meta(description="What made it: uSpeedo's 1 (rich text) or 2 (drag and drop).")]
    document: Annotated[str, Meta(description="The editor's own document.")]


class PreviewShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail looks like."""

    subject: str
    html: str | None
    text: str | None
    lint: Annotated[Sequence[FaultShown], Meta(description="What is plainly wrong with it, errors first.")]


def shown(listed: ListedTemplate) -> TemplateShown:
    """Return a template of a list."""
    return TemplateShown(**_facts(listed.template), subject=listed.subject, variables=listed.variables)


def whole(details: TemplateDetails) -> TemplateWhole:
    """Return a template with its version."""
    source, version = details.source, details.version
    return TemplateWhole(
        **_facts(details.template),
        subject=version.subject,
        variables=version.variables,
        version=shown_version(version),
        markup=source.markup,
        syntax=source.syntax,
        variants=[
            VariantShown(locale=one.locale, subject=one.subject, body=one.body, preheader=one.preheader, text=one.text)
            for one in source.variants
        ],
        defaults=source.defaults,
        is_lenient=source.is_lenient,
        editor=source.editor,
        document=source.document,
    )


def shown_version(facts: VersionFacts) -> VersionShown:
    """Return a version without what it says."""
    return VersionShown(
        number=facts.number,
        state=facts.state,
        subject=facts.subject,
        variables=facts.variables,
        partials=facts.partials,
        created_at=facts.created_at,
        published_at=facts.published_at,
    )


def _facts(template: StoredTemplate) -> dict[str, Any]:
    return {
        "id": template.template_id,
        "name": template.name,
        "stream": template.stream,
        "state": template.state,
        "state_reason": template.state_reason,
        "is_blocked": template.is_blocked,
        "published_number": template.published_number,
        "head_number": template.head_number,
        "created_at": template.created_at,
        "updated_at": template.updated_at,
    }

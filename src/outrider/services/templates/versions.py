r"""Versions of templates: compiled, stored, published. The moves that `templates` and `partials` share.

    source --compile--> draft --publish--> published --the next is published--> replaced
                            \--publish, where somebody must approve--> pending --> published, or rejected

| state of a template | means | its mail |
|---|---|---|
| `draft` | nothing was published yet | no |
| `pending`, `reviewing` | its first version waits for an operator | no |
| `approved` | a version is published; a newer one may wait, or have been rejected | yes |
| `rejected` | its first version was refused | no |
| `disabled` | switched off, by its owner, or by an operator (then only an operator switches it on) | no |

Versions never change: what is edited becomes a new one. Compiling is slow, so it is done once per version, in a thread,
outside any transaction. Whoever moves a template has its row locked, and writes it when the moves are done.
"""

import asyncio
import re
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError, StoreCorruptError
from outrider.base.vocab import TemplateState, VersionState
from outrider.mail import templating
from outrider.mail.render import Template
from outrider.mail.templating import Compiled, Source
from outrider.store import templates
from outrider.store.pool import Store, Tx
from outrider.store.templates import StoredTemplate, StoredVersion, VersionFacts

_COMPILES_AT_ONCE: Final = 2  # Ours: each holds a core for milliseconds, a large one for longer.
_decode_source: Final = msgspec.msgpack.Decoder(Source).decode
_decode_content: Final = msgspec.msgpack.Decoder(Template).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_is_partial_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch


class TemplateDetails(msgspec.Struct, frozen=True):
    """A template with one of its versions, as it was written."""

    template: StoredTemplate
    version: VersionFacts
    source: Source


class Compiler:
    """Compiles sources with the partials of their project."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._places: Final = asyncio.Semaphore(_COMPILES_AT_ONCE)

    async def compile(self, project_id: UUID, source: Source) -> Compiled:
        """Return what is made of the source. Raises TemplateError: `field` says where it is wrong."""
        check_source(source)
        async with self._store.transaction() as tx:
            known = {one.name: one.source for one in await templates.partials(tx, project_id)}
        async with self._places:
            return await asyncio.to_thread(templating.compile_source, source, known)

    async def refresh(self, details: TemplateDetails) -> Compiled | None:
        """Return the version with the partials of today; None: it has those. Raises TemplateError, NotFoundError."""
        if not details.version.partials:
            return None
        compiled = await self.compile(details.template.project_id, details.source)
        async with self._store.transaction() as tx:
            stored = await stored_of(tx, details.template, details.version.number)
        return None if _encode(compiled.template) == stored.content else compiled


async def add(
    tx: Tx, template: StoredTemplate, source: Source, compiled: Compiled, *, base: int, clock: Clock
) -> TemplateDetails:
    """Store a new draft that goes on from version `base`; return the template with it.

    It becomes the head where that was the head. Else somebody is at work on another, which stays what is edited.
    """
    number = 1 + await templates.last_number(tx, template.project_id, template.template_id)
    facts = VersionFacts(
        number=number,
        state=VersionState.DRAFT,
        subject=source.variants[0].subject,
        variables=tuple(compiled.variables),
        partials=tuple(compiled.partials),
        created_at=clock.now(),
    )
    await templates.insert_version(
        tx,
        template.project_id,
        template.template_id,
        StoredVersion(
            facts=facts,
            source=_encode(source),
            content=_encode(compiled.template),
            sample=_encode(compiled.sample),
        ),
        kept_count_max=limits.TEMPLATE_VERSIONS_COUNT_MAX,
    )
    head_number = number if template.head_number == base else template.head_number
    return TemplateDetails(changed(template, clock, head_number=head_number), facts, source)


async def check_publishable(tx: Tx, template: StoredTemplate, number: int, *, is_approved: bool) -> VersionFacts:
    """Return the version if it may be published, or wait for approval. Raises as `publish`."""
    if template.state is TemplateState.DISABLED:
        raise ConflictError(f"The template is disabled{because(template)}; enable it first.", field="template")
    facts = await facts_of(tx, template, number)
    if facts.state is VersionState.REJECTED and not is_approved:
        raise ConflictError(f"Version {number} was rejected{because(template)}; change it.", field="number")
    return facts


async def publish(tx: Tx, template: StoredTemplate, number: int, *, is_approved: bool, clock: Clock) -> StoredTemplate:
    """Publish a version, or let it wait for approval; return the template as it is to be written. Safe twice.

    Raises:
        NotFoundError: field "number"; there is no such version.
        ConflictError: the template is disabled; or the version was rejected, and needs approval.
    """
    facts = await check_publishable(tx, template, number, is_approved=is_approved)
    if facts.state is VersionState.PUBLISHED:
        return template
    project_id, template_id = template.project_id, template.template_id
    await templates.move(tx, project_id, template_id, source=VersionState.PENDING, target=VersionState.DRAFT)
    if not is_approved:
        await templates.set_version_state(tx, project_id, template_id, number, VersionState.PENDING)
        state = TemplateState.PENDING if template.published_number is None else template.state
        return changed(template, clock, state=state, state_reason="")
    await templates.move(tx, project_id, template_id, source=VersionState.PUBLISHED, target=VersionState.REPLACED)
    await templates.set_version_state(
        tx, project_id, template_id, number, VersionState.PUBLISHED, published_at=clock.now()
    )
    return changed(template, clock, state=TemplateState.APPROVED, state_reason="", published_number=number)


async def handed_in(tx: Tx, template: StoredTemplate) -> int:
    """Return the number of what was last published or handed in; the head if nothing was. A draft beside it is not."""
    pending = await templates.pending(tx, template.project_id, template.template_id)
    if pending is not None:
        return pending.number
    head = await facts_of(tx, template, template.head_number)
    if template.published_number is None or head.state is VersionState.REJECTED:
        return head.number
    return template.published_number


async def state_of(tx: Tx, template: StoredTemplate) -> TemplateState:
    """Return the state that the template has by its versions alone."""
    if template.published_number is not None:
        return TemplateState.APPROVED
    if await templates.pending(tx, template.project_id, template.template_id) is not None:
        return TemplateState.PENDING
    head = await facts_of(tx, template, template.head_number)
    return TemplateState.REJECTED if head.state is VersionState.REJECTED else TemplateState.DRAFT


def changed(template: StoredTemplate, clock: Clock, **changes: object) -> StoredTemplate:
    """Return the template with these changes, made now."""
    return msgspec.structs.replace(template, **changes, updated_at=clock.now())


async def found(tx: Tx, project_id: UUID, name: str) -> StoredTemplate:
    """Return the project's template of that id or name. Raises NotFoundError."""
    template = await templates.find(tx, project_id, name) if is_name(name) else None
    if template is None:
        raise unknown(name)
    return template


async def locked(tx: Tx, project_id: UUID, name: str) -> StoredTemplate:
    """Return the same, with nobody else changing it until the transaction ends. Raises NotFoundError."""
    template_id = (await found(tx, project_id, name)).template_id
    template = await templates.lock(tx, project_id, template_id)
    if template is None:  # Deleted between the two.
        raise unknown(name)
    return template


async def waiting(tx: Tx, project_id: UUID, name: str) -> tuple[StoredTemplate, VersionFacts]:
    """Return the template, locked, and its version that waits for approval. Raises NotFoundError, ConflictError."""
    template = await locked(tx, project_id, name)
    facts = await templates.pending(tx, project_id, template.template_id)
    if facts is None:
        raise ConflictError("No version of it waits for approval.", field="template")
    return template, facts


async def details_of(tx: Tx, template: StoredTemplate, number: int) -> TemplateDetails:
    """Return the template with that version. Raises NotFoundError."""
    stored = await stored_of(tx, template, number)
    return TemplateDetails(template, stored.facts, _decode_source(stored.source))


async def facts_of(tx: Tx, template: StoredTemplate, number: int) -> VersionFacts:
    """Return what is known of that version. Raises NotFoundError."""
    facts = None
    if 0 < number <= limits.TEMPLATE_NUMBER_COUNT_MAX:
        facts = await templates.version_facts(tx, template.project_id, template.template_id, number)
    if facts is None:
        raise _no_version(number)
    return facts


async def stored_of(tx: Tx, template: StoredTemplate, number: int) -> StoredVersion:
    """Return that version as it is stored. Raises NotFoundError."""
    stored = None
    if 0 < number <= limits.TEMPLATE_NUMBER_COUNT_MAX:
        stored = await templates.version(tx, template.project_id, template.template_id, number)
    if stored is None:
        raise _no_version(number)
    return stored


def content_of(stored: StoredVersion) -> Template:
    """Return what is sent of a version. Raises StoreCorruptError."""
    try:
        return _decode_content(stored.content)
    except msgspec.DecodeError as error:
        raise StoreCorruptError("A stored template cannot be read.", cause=str(error)) from error


def because(template: StoredTemplate) -> str:
    """Return the end of a sentence: why it is disabled or rejected, "" if nobody said."""
    return f": {template.state_reason.rstrip('.')}" if template.state_reason else ""


def unknown(name: str) -> NotFoundError:
    """Return the error of a template that is not there."""
    shown = name if name.isprintable() and len(name) <= limits.TEMPLATE_NAME_CHARS_MAX else "of that name"
    return NotFoundError(
        f"There is no template {shown!r}; `outrider template list` shows those there are.", field="template"
    )


def is_name(text: str) -> bool:
    """Tell whether a template may be called so, or have this id."""
    return 1 <= len(text) <= limits.TEMPLATE_NAME_CHARS_MAX and text.isprintable() and text == text.strip()


def is_partial_name(text: str) -> bool:
    """Tell whether a partial may be called so."""
    return _is_partial_name(text) is not None


def check_text(text: str, chars_max: int, *, field: str, is_required: bool = True) -> None:
    """Raise CallerError unless it is a text for people, on one line."""
    if is_required and not text.strip():
        raise CallerError(f"The {field} is empty.", field=field)
    if len(text) > chars_max or not text.isprintable():
        raise CallerError(f"The {field} has at most {chars_max} printable characters.", field=field)


def check_unicode(text: str, *, field: str) -> None:
    """Raise CallerError if there is a character in it that the database or UTF-8 refuses."""
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise CallerError("There is a character in it that no text has.", field=field)


def check_source(source: Source) -> None:
    """Raise CallerError if the source has no variant, or a character that no text has."""
    if not source.variants:
        raise CallerError("A template has at least one variant.", field="variants")
    for variant in source.variants:
        for field in ("locale", "subject", "preheader", "body", "text"):
            check_unicode(getattr(variant, field) or "", field=field)
    for field in ("editor", "document"):
        check_unicode(getattr(source, field), field=field)
    for name, value in source.defaults.items():
        check_unicode(name, field="defaults")
        check_unicode(value if isinstance(value, str) else "", field="defaults")
    if len(source.document) > limits.TEMPLATE_DOCUMENT_CHARS_MAX:
        raise CallerError(f"It has at most {limits.TEMPLATE_DOCUMENT_CHARS_MAX} characters.", field="document")


def _no_version(number: int) -> NotFoundError:
    return NotFoundError(f"The template has no version {number}.", field="number")

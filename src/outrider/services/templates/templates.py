"""What is done with one template: written, published, approved, switched off and on, deleted, looked at.

The states and what leads from one to the other are in `versions`. A template is named by its id, or by its name, within
its project. What changes counts everywhere within a second (`published`). A message keeps its own copy, so nothing here
touches mail that was accepted.
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, ForbiddenError
from outrider.base.vocab import Stream, TemplateState, VersionState
from outrider.mail.templating import Compiled, Source
from outrider.services.templates import versions
from outrider.services.templates.versions import Compiler, TemplateDetails
from outrider.store import projects, templates
from outrider.store.pool import Store
from outrider.store.templates import ListedTemplate, StoredTemplate, TemplateChoice, VersionFacts

__all__ = [  # With the records a caller meets.
    "ListedTemplate",
    "StoredTemplate",
    "TemplateChoice",
    "TemplateDetails",
    "Templates",
    "VersionFacts",
]

_ID_CHARS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID_CHARS_COUNT: Final = 6  # Behind the hour. shared/uspeedo.md 5.4.
_ID_TRIES: Final = 5  # Ours: of 2 thousand million an hour.
_REASON_CHARS_MAX: Final = 500  # Ours: a sentence or three.


class Templates:
    """The templates of all projects."""

    def __init__(self, store: Store, compiler: Compiler, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._compiler: Final = compiler
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    # Written.

    async def create(
        self, project_id: UUID, name: str, stream: Stream, source: Source, *, is_published: bool = False
    ) -> TemplateDetails:
        """Store a new template with its first version, a draft, or published at once (`publish`).

        Raises:
            TemplateError: the source is wrong; `field` says where.
            CallerError: a name that is none; or the project has as many templates as it may.
            ConflictError: field "name": the project has one of that name.
        """
        _check_name(name)
        compiled = await self._compiler.compile(project_id, source)
        for _ in range(_ID_TRIES):
            try:
                return await self._create(project_id, name, stream, source, compiled, is_published=is_published)
            except ConflictError as error:
                if error.detail.get("constraint") != "template_pkey":
                    raise _name_taken(name) from error
        raise ConflictError("No id was free; try again.", field="id")

    async def change(
        self,
        project_id: UUID,
        template_id: str,
        edit: Callable[[Source], Source] | None = None,
        *,
        name: str | None = None,
        stream: Stream | None = None,
        is_published: bool = False,
        beside_draft: bool = False,
    ) -> TemplateDetails:
        """Change the name or stream at once, and what is written by a new version: a draft, or published at once.

        Args:
            edit: from the source of the version to go on from to the new one; None: what is published is the head,
                with the partials of today: a new version, if it has others.
            beside_draft: go on from what was last published or handed in (`handed_in`), not from the head, and leave
                a draft that somebody is at work on as it is.

        Raises:
            NotFoundError, TemplateError, CallerError: as `show` and `create`.
            ConflictError: somebody else changed it meanwhile; the name is taken; or field "stream": what was approved
                as mail of one kind is not sent as another.
        """
        if name is not None:
            _check_name(name)
        before = await (self.handed_in if beside_draft else self.show)(project_id, template_id)
        source, compiled = before.source, None
        if edit is not None:
            source = edit(source)
            compiled = await self._compiler.compile(project_id, source)
        elif is_published:
            compiled = await self._compiler.refresh(before)
        try:
            async with self._store.transaction() as tx:
                template = await versions.locked(tx, project_id, before.template.template_id)
                number = await versions.handed_in(tx, template) if beside_draft else template.head_number
                if number != before.version.number:
                    raise ConflictError("Somebody else has changed it meanwhile; look at it and change it again.")
                is_approved = not await projects.templates_need_approval(tx, project_id)
                template = self._renamed(template, name, stream, is_approved=is_approved)
                if compiled is not None:
                    if edit is None:  # Danger: compiled anew it would be one that nobody has rejected.
                        await versions.check_publishable(tx, template, number, is_approved=is_approved)
                    added = await versions.add(tx, template, source, compiled, base=number, clock=self._clock)
                    template, number = added.template, added.version.number
                if is_published:
                    template = await versions.publish(tx, template, number, is_approved=is_approved, clock=self._clock)
                await templates.update(tx, template)
                facts = await versions.facts_of(tx, template, number)
        except ConflictError as error:
            if "constraint" in error.detail:
                raise _name_taken(name or "") from error
            raise
        return TemplateDetails(template, facts, source)

    async def restore(self, project_id: UUID, template_id: str, number: int) -> TemplateDetails:
        """Make what an old version says the newest draft, with the partials of today. Raises as `change`, `version`."""
        old = await self.version(project_id, template_id, number)
        return await self.change(project_id, template_id, lambda _: old.source)

    async def remove(self, project_id: UUID, template_id: str) -> None:
        """Delete the template; it cannot be used, within a second. Accepted mail goes out. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            template = await versions.found(tx, project_id, template_id)
            await templates.remove(tx, project_id, template.template_id, now=self._clock.now())

    # Read.

    async def show(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Return the template, by id or name, with the version that an edit goes on from. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            template = await versions.found(tx, project_id, template_id)
            return await versions.details_of(tx, template, template.head_number)

    async def handed_in(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Return the template with what was last published or handed in; the head if nothing was. Raises as `show`."""
        async with self._store.transaction() as tx:
            template = await versions.found(tx, project_id, template_id)
            return await versions.details_of(tx, template, await versions.handed_in(tx, template))

    async def version(self, project_id: UUID, template_id: str, number: int) -> TemplateDetails:
        """Return the template with that version. Raises NotFoundError: field "number" where it has no such version."""
        async with self._store.transaction() as tx:
            return await versions.details_of(tx, await versions.found(tx, project_id, template_id), number)

    async def list_versions(
        self, project_id: UUID, template_id: str, *, below: int = limits.TEMPLATE_NUMBER_COUNT_MAX, count_max: int = 100
    ) -> Sequence[VersionFacts]:
        """Return the template's versions with a smaller number than `below`, the last first. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            template = await versions.found(tx, project_id, template_id)
            return await templates.versions(
                tx,
                project_id,
                template.template_id,
                below=min(below, limits.TEMPLATE_NUMBER_COUNT_MAX),
                count_max=count_max,
            )

    async def page(self, project_id: UUID, choice: TemplateChoice) -> Sequence[ListedTemplate]:
        """Return the project's templates that are chosen. Raises CallerError: a character that no text has."""
        _check_choice(choice)
        async with self._store.transaction() as tx:
            return await templates.page(tx, project_id, choice)

    async def total(self, project_id: UUID, choice: TemplateChoice) -> int:
        """Return how many are chosen, on all pages. Raises as `page`."""
        _check_choice(choice)
        async with self._store.transaction() as tx:
            return await templates.total(tx, project_id, choice)

    # Published, approved, switched off and on.

    async def publish(self, project_id: UUID, template_id: str, number: int | None = None) -> TemplateDetails:
        """Let mail go out as this version says, the newest unless another is named; within a second. Safe twice.

        The newest has the partials of today: a new version, if it was made with others. One that is named stays as it
        is. Where the project's templates need approval it only becomes `pending`; what was published before is still
        sent.

        Raises:
            NotFoundError: as `version`.
            ConflictError: the template is disabled; or the version was rejected, and needs approval.
            TemplateError: it does not go together with the partials of today.
        """
        if number is None:
            return await self.change(project_id, template_id, is_published=True)
        async with self._store.transaction() as tx:
            template = await versions.locked(tx, project_id, template_id)
            needs_approval = await projects.templates_need_approval(tx, project_id)
            template = await versions.publish(tx, template, number, is_approved=not needs_approval, clock=self._clock)
            await templates.update(tx, template)
            return await versions.details_of(tx, template, number)

    async def review(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Say that somebody is looking at the version that waits. Safe twice. Raises NotFoundError, ConflictError."""
        async with self._store.transaction() as tx:
            template, waiting = await versions.waiting(tx, project_id, template_id)
            if template.state is TemplateState.PENDING:
                template = versions.changed(template, self._clock, state=TemplateState.REVIEWING)
                await templates.update(tx, template)
            return await versions.details_of(tx, template, waiting.number)

    async def approve(self, project_id: UUID, template_id: str) -> TemplateDetails:
        """Publish the version that waits for it. Raises NotFoundError; ConflictError: none does, or it is disabled."""
        async with self._store.transaction() as tx:
            template, waiting = await versions.waiting(tx, project_id, template_id)
            template = await versions.publish(tx, template, waiting.number, is_approved=True, clock=self._clock)
            await templates.update(tx, template)
            return await versions.details_of(tx, template, waiting.number)

    async def reject(self, project_id: UUID, template_id: str, reason: str) -> TemplateDetails:
        """Refuse the version that waits; what was published before is still sent. Raises as `approve`, CallerError."""
        versions.check_text(reason, _REASON_CHARS_MAX, field="reason")
        async with self._store.transaction() as tx:
            template, waiting = await versions.waiting(tx, project_id, template_id)
            await templates.set_version_state(
                tx, project_id, template.template_id, waiting.number, VersionState.REJECTED
            )
            is_first = template.state in (TemplateState.PENDING, TemplateState.REVIEWING)
            state = TemplateState.REJECTED if is_first else template.state
            template = versions.changed(template, self._clock, state=state, state_reason=reason)
            await templates.update(tx, template)
            return await versions.details_of(tx, template, waiting.number)

    async def disable(
        self, project_id: UUID, template_id: str, *, reason: str = "", by_operator: bool = False
    ) -> TemplateDetails:
        """Take no more mail of the template, within a second; what was accepted goes out. Safe twice.

        Raises NotFoundError, CallerError.
        """
        versions.check_text(reason, _REASON_CHARS_MAX, field="reason", is_required=False)
        async with self._store.transaction() as tx:
            template = await versions.locked(tx, project_id, template_id)
            template = versions.changed(
                template,
                self._clock,
                state=TemplateState.DISABLED,
                state_reason=reason or (template.state_reason if template.state is TemplateState.DISABLED else ""),
                is_blocked=template.is_blocked or by_operator,
            )
            await templates.update(tx, template)
            return await versions.details_of(tx, template, template.head_number)

    async def enable(self, project_id: UUID, template_id: str, *, by_operator: bool = False) -> TemplateDetails:
        """Put a disabled template back where it was. Safe twice. Raises NotFoundError; ForbiddenError: not yours to."""
        async with self._store.transaction() as tx:
            template = await versions.locked(tx, project_id, template_id)
            if template.is_blocked and not by_operator:
                raise ForbiddenError(f"An operator has disabled it{versions.because(template)}.", field="template")
            if template.state is TemplateState.DISABLED:
                state = await versions.state_of(tx, template)
                template = versions.changed(template, self._clock, state=state, state_reason="", is_blocked=False)
                await templates.update(tx, template)
            return await versions.details_of(tx, template, template.head_number)

    async def needs_approval(self, project_id: UUID) -> bool:
        """Return whether an operator has to approve what the project publishes."""
        async with self._store.transaction() as tx:
            return await projects.templates_need_approval(tx, project_id)

    async def set_needs_approval(self, project_id: UUID, *, is_needed: bool) -> None:
        """Say whether an operator has to approve what the project publishes from now on. Safe twice."""
        async with self._store.transaction() as tx:
            await projects.set_templates_need_approval(tx, project_id, is_needed=is_needed)

    # Within.

    def _renamed(
        self, template: StoredTemplate, name: str | None, stream: Stream | None, *, is_approved: bool
    ) -> StoredTemplate:
        """Return the template with this name and stream, None for the one it has. Raises ConflictError."""
        if stream not in (None, template.stream) and not is_approved and template.published_number is not None:
            raise ConflictError("It was approved for the other kind of mail; make a new one.", field="stream")
        changes = {field: given for field, given in (("name", name), ("stream", stream)) if given is not None}
        return versions.changed(template, self._clock, **changes) if changes else template

    async def _create(
        self,
        project_id: UUID,
        name: str,
        stream: Stream,
        source: Source,
        compiled: Compiled,
        *,
        is_published: bool,
    ) -> TemplateDetails:
        now = self._clock.now()
        bits = self._random_bits(64)
        chars = [_ID_CHARS[bits // len(_ID_CHARS) ** at % len(_ID_CHARS)] for at in range(_ID_CHARS_COUNT)]
        template = StoredTemplate(
            template_id=f"UET{now:%y%m%d%H}{''.join(chars)}",
            project_id=project_id,
            name=name,
            stream=stream,
            state=TemplateState.DRAFT,
            head_number=1,
            created_at=now,
            updated_at=now,
        )
        async with self._store.transaction() as tx:
            if await templates.count(tx, project_id) >= limits.TEMPLATES_COUNT_MAX:
                raise CallerError(f"A project has at most {limits.TEMPLATES_COUNT_MAX} templates.", field="name")
            await templates.insert(tx, template)
            template = (await versions.add(tx, template, source, compiled, base=1, clock=self._clock)).template
            if is_published:
                needs_approval = await projects.templates_need_approval(tx, project_id)
                template = await versions.publish(tx, template, 1, is_approved=not needs_approval, clock=self._clock)
            await templates.update(tx, template)
            return TemplateDetails(template, await versions.facts_of(tx, template, 1), source)


def _check_name(name: str) -> None:
    if not versions.is_name(name):
        most = limits.TEMPLATE_NAME_CHARS_MAX
        raise CallerError(f"A name has 1 to {most} printable characters, no spaces around them.", field="name")


def _name_taken(name: str) -> ConflictError:
    return ConflictError(f"The project has a template {name!r} already.", field="name")


def _check_choice(choice: TemplateChoice) -> None:
    for text, field in ((choice.name, "name"), (choice.subject, "subject"), (choice.before, "after")):
        versions.check_unicode(text, field=field)
    for template_id in choice.template_ids or ():
        versions.check_unicode(template_id, field="template")

"""Templates tried out: what one looks like, filled in, and a mail of it to a few people.

Variables that nobody gives are samples, their name in brackets, so that any template can be looked at. Rendering is
bounded, but slower than what may hold up others, so it is done in a thread. A test is finished text by the time it is
accepted; only its recipient's link to unsubscribe is put in as in any mail.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Accepted, Submission
from outrider.mail.render import Rendered, Renderer, Template
from outrider.mail.templating import Source
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.policy import lint
from outrider.policy.lint import Fault
from outrider.services.templates import versions
from outrider.services.templates.versions import Compiler
from outrider.store import senders
from outrider.store.pool import Store
from outrider.store.templates import StoredTemplate

TEST_MARK: Final = "[Test] "  # Before the subject of a test.
_PREVIEW_LINK: Final = "https://unsubscribe.invalid/preview"
_decode_sample: Final = msgspec.msgpack.Decoder(dict[str, object]).decode


class Accept(Protocol):
    """`engine.accept`, the one way in."""

    async def __call__(self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()) -> Accepted:
        """Return once the submission is on disk."""


class Previewed(msgspec.Struct, frozen=True):
    """What a mail looks like, and what is plainly wrong with it."""

    subject: str
    html: str | None
    text: str | None
    faults: Sequence[Fault]


class Trial:
    """Tries templates out."""

    def __init__(self, store: Store, compiler: Compiler, accept: Accept) -> None:
        self._store: Final = store
        self._compiler: Final = compiler
        self._accept: Final = accept

    async def test(
        self,
        project_id: UUID,
        template_id: str,
        recipients: Sequence[str],
        variables: Mapping[str, object],
        *,
        number: int | None = None,
        locale: str = "",
        sender: str = "",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Send the newest version, or that one, to a few people, filled in with these variables and samples.

        Args:
            sender: "": the project's default.
            domains: the sender's must be one of these; empty: any of the project's.

        Raises:
            NotFoundError, TemplateError: as `preview`.
            CallerError and others: too many recipients; no sender; and as `engine.accept`.
        """
        if not 1 <= len(recipients) <= limits.TEMPLATE_TEST_RECIPIENTS_COUNT_MAX:
            most = limits.TEMPLATE_TEST_RECIPIENTS_COUNT_MAX
            raise CallerError(f"A test goes to 1 to {most} addresses.", field="recipients")
        stored, content, sample = await self._read(project_id, template_id, number)
        given = with_samples(sample, variables)
        rendered = await asyncio.to_thread(_render, content, given, locale, UNSUBSCRIBE_MARK)
        if not sender:
            async with self._store.transaction() as tx:
                spokesman = await senders.spokesman(tx, project_id, stored.stream)
            if spokesman is None:
                raise CallerError(f"The project has no sender that may send {stored.stream} mail.", field="sender")
            sender = spokesman.address
        return await self._accept(
            project_id,
            Submission(
                sender=sender,
                recipients=tuple(recipients),
                subject=(TEST_MARK + rendered.subject)[: limits.SUBJECT_CHARS_MAX],
                html=rendered.html,
                text=rendered.text,
                stream=stored.stream,
            ),
            domains=domains,
        )

    async def preview(
        self,
        project_id: UUID,
        template_id: str,
        variables: Mapping[str, object],
        *,
        number: int | None = None,
        locale: str = "",
    ) -> Previewed:
        """Return the newest version, or that one, filled in with these variables, and with samples for the others.

        Raises:
            NotFoundError: as `version`.
            TemplateError: it cannot be filled in with these.
        """
        stored, content, sample = await self._read(project_id, template_id, number)
        given = with_samples(sample, variables)
        return await asyncio.to_thread(_preview, content, given, locale, stored.stream)

    async def preview_source(
        self,
        project_id: UUID,
        source: Source,
        variables: Mapping[str, object],
        *,
        stream: Stream = Stream.TRANSACTIONAL,
        locale: str = "",
    ) -> Previewed:
        """Return what a source that is not stored looks like, as mail of that kind. Raises TemplateError."""
        compiled = await self._compiler.compile(project_id, source)
        given = with_samples(compiled.sample, variables)
        return await asyncio.to_thread(_preview, compiled.template, given, locale, stream)

    async def _read(
        self, project_id: UUID, template_id: str, number: int | None
    ) -> tuple[StoredTemplate, Template, Mapping[str, object]]:
        async with self._store.transaction() as tx:
            template = await versions.found(tx, project_id, template_id)
            stored = await versions.stored_of(tx, template, template.head_number if number is None else number)
        return template, versions.content_of(stored), _decode_sample(stored.sample)


def with_samples(sample: Mapping[str, object], given: Mapping[str, object]) -> Mapping[str, object]:
    """Return what is given, and a sample for each variable that is not; within mappings, too."""
    filled = dict(sample)
    for name, value in given.items():
        inner = filled.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            filled[name] = with_samples(inner, value)
        else:
            filled[name] = value
    return filled


def _render(template: Template, variables: Mapping[str, object], locale: str, link: str) -> Rendered:
    return Renderer(template).render(variables, locale=locale, unsubscribe_link=link)


def _preview(template: Template, variables: Mapping[str, object], locale: str, stream: Stream) -> Previewed:
    mail = _render(template, variables, locale, _PREVIEW_LINK)
    faults = lint.check(
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        stream=stream,
        has_unsubscribe=any(_PREVIEW_LINK in part for part in (mail.html, mail.text) if part is not None),
    )
    return Previewed(mail.subject, mail.html, mail.text, faults)

"""/v1/templates: written once, filled in for each recipient; versions, publishing, previews, tests.

A template is named by its id, or by its name, within the project of the key. What is published counts everywhere within
a second. Where the project's templates need approval, publishing hands in, and an operator approves on the command
line.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, UnsetType

from outrider.base import digits, limits
from outrider.base.errors import CallerError
from outrider.base.vocab import KeyScope, Stream, TemplateState
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, template_types
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.content import faults_shown
from outrider.faces.api.v1.message_types import MessageAccepted, RejectedRecipient
from outrider.faces.api.v1.paging import LIMIT_MAX, PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.faces.api.v1.template_types import (
    Disabling,
    Filling,
    NewTemplate,
    PreviewShown,
    Publishing,
    SourceFilling,
    TemplateChange,
    TemplateList,
    TemplateTest,
    TemplateWhole,
    VersionList,
)
from outrider.services.templates.templates import TemplateChoice
from outrider.services.templates.trial import Previewed

_FIELDS: Final = {"template": "id", "sender": "from", "recipients": "to"}


class TemplatesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which templates to list."""

    name: Annotated[str, Meta(max_length=limits.TEMPLATE_NAME_CHARS_MAX, description="Somewhere in its name.")] = ""
    subject: Annotated[str, Meta(max_length=limits.SUBJECT_CHARS_MAX, description="Somewhere in its subject.")] = ""
    stream: Stream | None = None
    state: Annotated[list[TemplateState], Meta(description="One of these.")] = []
    after: Annotated[str, Meta(max_length=100, description="`next` of the page before; without it: the newest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 100


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/templates."""
    acts = _Templates(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope = KeyScope.MANAGE, **more: Any) -> Route:
        return Route(
            method=method, path=f"/templates{path}", act=act, scope=scope, tag="Templates", fields=_FIELDS, **more
        )

    return [
        row("POST", "", acts.create_template, status=201),
        row("GET", "", acts.list_templates, KeyScope.READ),
        row("POST", "/preview", acts.preview_source, KeyScope.READ),
        row("GET", "/{id}", acts.show_template, KeyScope.READ),
        row("PATCH", "/{id}", acts.change_template),
        row("DELETE", "/{id}", acts.remove_template),
        row("POST", "/{id}/publish", acts.publish_template),
        row("POST", "/{id}/disable", acts.disable_template),
        row("POST", "/{id}/enable", acts.enable_template),
        row("POST", "/{id}/preview", acts.preview_template, KeyScope.READ),
        row("POST", "/{id}/test", acts.test_template, KeyScope.SEND, status=202),
        row("GET", "/{id}/versions", acts.list_template_versions, KeyScope.READ),
        row("GET", "/{id}/versions/{number}", acts.show_template_version, KeyScope.READ),
        row("POST", "/{id}/versions/{number}/restore", acts.restore_template_version, status=201),
    ]


class _Templates:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def create_template(self, call: Call, body: NewTemplate) -> TemplateWhole:
        """Store a template, as a draft or published at once."""
        made = await self._ports.services.templates.create(
            call.project_id, body.name, body.stream, body.source(), is_published=body.publish
        )
        return template_types.whole(made)

    async def list_templates(self, call: Call, query: TemplatesQuery) -> TemplateList:
        """List the templates, newest first."""
        choice = TemplateChoice(
            name=query.name,
            subject=query.subject,
            stream=query.stream,
            states=query.state or None,
            before=query.after,
            count_max=query.limit + 1,
        )
        found = await self._ports.services.templates.page(call.project_id, choice)
        page, next_cursor = paging.cut(found, query.limit, lambda one: one.template.template_id)
        return TemplateList(templates=[template_types.shown(one) for one in page], next=next_cursor)

    async def show_template(self, call: Call, id: str) -> TemplateWhole:  # noqa: A002 - the name in the path.
        """Show a template with the version that an edit goes on from."""
        return template_types.whole(await self._ports.services.templates.show(call.project_id, id))

    async def change_template(self, call: Call, id: str, body: TemplateChange) -> TemplateWhole:  # noqa: A002
        """Rename a template, change its stream, or write a new version of it: a draft, or published at once."""
        changed = await self._ports.services.templates.change(
            call.project_id,
            id,
            body.edit,
            name=None if isinstance(body.name, UnsetType) else body.name,
            stream=None if isinstance(body.stream, UnsetType) else body.stream,
            is_published=body.publish,
        )
        return template_types.whole(changed)

    async def remove_template(self, call: Call, id: str) -> None:  # noqa: A002
        """Delete a template; it cannot be used, within a second. What was accepted still goes out."""
        await self._ports.services.templates.remove(call.project_id, id)

    async def publish_template(self, call: Call, id: str, body: Publishing) -> TemplateWhole:  # noqa: A002
        """Send the newest version, with today's partials, or that one as it is, or hand it in. Safe twice."""
        return template_types.whole(await self._ports.services.templates.publish(call.project_id, id, body.number))

    async def disable_template(self, call: Call, id: str, body: Disabling) -> TemplateWhole:  # noqa: A002
        """Take no more mail of a template, within a second. Safe twice."""
        off = await self._ports.services.templates.disable(call.project_id, id, reason=body.reason)
        return template_types.whole(off)

    async def enable_template(self, call: Call, id: str) -> TemplateWhole:  # noqa: A002
        """Put a disabled template back where it was. Safe twice."""
        return template_types.whole(await self._ports.services.templates.enable(call.project_id, id))

    async def preview_template(self, call: Call, id: str, body: Filling) -> PreviewShown:  # noqa: A002
        """Show what a mail of the newest version looks like, or of that one, with samples for what is not given."""
        rendered = await self._ports.services.trial.preview(
            call.project_id, id, body.variables, number=body.number, locale=body.locale
        )
        return _preview(rendered)

    async def preview_source(self, call: Call, body: SourceFilling) -> PreviewShown:
        """Show what a mail of a template looks like that is not stored."""
        rendered = await self._ports.services.trial.preview_source(
            call.project_id, body.source(), body.variables, stream=body.stream, locale=body.locale
        )
        return _preview(rendered)

    async def test_template(self, call: Call, id: str, body: TemplateTest) -> MessageAccepted:  # noqa: A002
        """Send the newest version, or that one, to a few people, its subject marked as a test."""
        accepted = await self._ports.services.trial.test(
            call.project_id,
            id,
            body.to,
            body.variables,
            number=body.number,
            locale=body.locale,
            sender=body.sender,
            domains=call.domains,
        )
        if accepted.session_id is None:
            first = accepted.rejected[0]
            raise CallerError(f"No recipient was accepted; {first.address}: {first.reason}.", field="recipients")
        return MessageAccepted(
            id=accepted.session_id,
            accepted_count=accepted.recipient_count,
            rejected=[RejectedRecipient(address=one.address, reason=one.reason) for one in accepted.rejected],
        )

    async def list_template_versions(self, call: Call, id: str, query: PageQuery) -> VersionList:  # noqa: A002
        """List the versions of a template, newest first."""
        below = limits.TEMPLATE_NUMBER_COUNT_MAX
        if query.after:
            number = digits.parse(query.after, most=below)
            if number is None:
                raise CallerError("That is no cursor of this list; take `next` of a page as it is.", field="after")
            below = number
        found = await self._ports.services.templates.list_versions(
            call.project_id, id, below=below, count_max=query.limit + 1
        )
        page, next_cursor = paging.cut(found, query.limit, lambda one: str(one.number))
        return VersionList(versions=[template_types.shown_version(one) for one in page], next=next_cursor)

    async def show_template_version(self, call: Call, id: str, number: int) -> TemplateWhole:  # noqa: A002
        """Show a version of a template, as it was written."""
        return template_types.whole(await self._ports.services.templates.version(call.project_id, id, number))

    async def restore_template_version(self, call: Call, id: str, number: int) -> TemplateWhole:  # noqa: A002
        """Make what an old version says the newest draft."""
        return template_types.whole(await self._ports.services.templates.restore(call.project_id, id, number))


def _preview(looked: Previewed) -> PreviewShown:
    return PreviewShown(subject=looked.subject, html=looked.html, text=looked.text, lint=faults_shown(looked.faults))

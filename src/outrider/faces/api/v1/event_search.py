"""/v1/events/search: what happened, found by anything in a mail's life, newest first.

Unlike /v1/events this is for people who look for something: its pages go back in time, and what is written while they
are read is not on them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from outrider.base.errors import CallerError
from outrider.base.vocab import EventKind, KeyScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import events
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.events import EventShown
from outrider.faces.api.v1.paging import LIMIT_MAX
from outrider.faces.api.v1.routes import Route
from outrider.services.log_search import EVER, Search

Part = Annotated[str, Meta(max_length=500, description="A part of it, in any case.")]
Word = Annotated[str, Meta(max_length=500, description="Exactly this.")]


class EventSearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for: all of it holds together."""

    q: Annotated[
        str, Meta(max_length=500, description="A part of an address, subject, reply, reason, link, host, IP or tag.")
    ] = ""
    message: Annotated[UUID | None, Meta(description="The id of a mail, its session.")] = None
    kind: Annotated[list[EventKind], Meta(description="Only these.")] = []
    recipient: Annotated[str, Meta(max_length=500, description="A part, such as `ann@x.example` or `@x.example`.")] = ""
    sender: Part = msgspec.field(default="", name="from")
    subject: Part = ""
    template: Word = ""
    campaign: Word = ""
    list_name: Word = msgspec.field(default="", name="list")
    tag: Word = ""
    metadata: Annotated[list[str], Meta(description="`key=value`.")] = []
    reason: Word = ""
    provider: Word = ""
    source: Annotated[str, Meta(max_length=500, description="The name of the source that it left from.")] = ""
    remote: Annotated[str, Meta(max_length=500, description="A part of the other server's name or IP.")] = ""
    tls: Part = ""
    reply: Part = ""
    url: Part = ""
    agent: Annotated[str, Meta(max_length=500, description="A part of a reader's agent or mail program.")] = ""
    country: Annotated[str, Meta(max_length=2, description="Two letters.")] = ""
    since: Annotated[datetime | None, Meta(description="Not before.")] = None
    until: Annotated[datetime | None, Meta(description="Before; without it: now.")] = None
    after: Annotated[str, Meta(description="`next` of the page before; without it: the newest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 100


class FoundList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first. It may be empty though `next` is there: then nothing was found so far back."""

    events: Sequence[EventShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


def routes(ports: Ports) -> list[Route]:
    """Return the row of /v1/events/search."""

    async def search_events(call: Call, query: EventSearchQuery) -> FoundList:
        """Search what happened by anything in a mail's life, newest first."""
        page = await ports.services.search.page(
            call.project_id, _search(query), until=query.until, cursor=query.after, count_max=query.limit
        )
        return FoundList(events=[events.shown(one) for one in page.events], next=page.next_cursor)

    return [Route(method="GET", path="/events/search", act=search_events, scope=KeyScope.READ, tag="Events")]


def _search(query: EventSearchQuery) -> Search:
    return Search(
        since=query.since or EVER,
        message_id=query.message,
        kinds=query.kind,
        reason=query.reason,
        provider=query.provider,
        source=query.source,
        remote=query.remote,
        tls=query.tls,
        reply=query.reply,
        url=query.url,
        agent=query.agent,
        country=query.country,
        recipient=query.recipient,
        sender=query.sender,
        subject=query.subject,
        template_id=query.template,
        campaign=query.campaign,
        list_name=query.list_name,
        tag=query.tag,
        metadata=_pairs(query.metadata),
        words=query.q,
    )


def _pairs(texts: Sequence[str]) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise CallerError("It is written as `key=value`.", field="metadata")
        pairs[key] = value
    return pairs

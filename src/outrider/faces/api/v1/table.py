"""All calls under /v1, and the document that says so at /v1/openapi.json.

Each noun's module has its own calls (`routes`); here they come together, in the order of the document.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import (
    alerts,
    content,
    document,
    domains,
    event_search,
    events,
    keys,
    messages,
    partials,
    preferences,
    project,
    senders,
    stats,
    suppressions,
    templates,
    topics,
    tracking,
    webhooks,
)
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.routes import Route

# Calls that ask for no key; each is a decision (tests/unit/faces/api/v1/test_table.py).
OPEN: Final = frozenset({"/openapi.json"})

_HOMES: Final = (
    messages,
    content,
    events,
    event_search,
    stats,
    alerts,
    domains,
    senders,
    suppressions,
    topics,
    preferences,
    templates,
    partials,
    webhooks,
    tracking,
    keys,
    project,
)


def openapi() -> Mapping[str, Any]:
    """Return the document, without anything that could answer a call."""
    return document.of(routes(cast("Ports", None)))


def routes(ports: Ports) -> Sequence[Route]:
    """Return the rows of all calls."""
    rows = [row for home in _HOMES for row in home.routes(ports)]

    @functools.cache
    def text() -> bytes:
        return msgspec.json.encode(document.of(rows))

    async def show_openapi(call: Call) -> Reply:  # noqa: ARG001 - as every call.
        """Show this document."""
        return Reply(content=text())

    rows.append(Route(method="GET", path="/openapi.json", act=show_openapi, scope=None, tag="About"))
    return rows

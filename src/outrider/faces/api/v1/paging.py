"""What lists have in common: `limit`, `after`, and whether there is a next page."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

LIMIT_MAX = 500
Row = TypeVar("Row")


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a list."""

    after: Annotated[str, Meta(description="`next` of the page before; without it: the first.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 100


def cut(found: Sequence[Row], limit: int, cursor_of: Callable[[Row], str]) -> tuple[Sequence[Row], str | None]:
    """Return a page of `limit` out of one more than that, if there are so many, and the cursor behind it."""
    if len(found) <= limit:
        return found, None
    return found[:limit], cursor_of(found[limit - 1])

"""Paths of calls and their queries, quoted."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode
from uuid import UUID


def part(value: str | UUID) -> str:
    """Return an id or name fit for a path, and not another path. Raises ValueError: it is none."""
    text = str(value)
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} is no id")
    return quote(text, safe="")


def with_query(path: str, query: Mapping[str, object], *, after: str = "") -> str:
    """Return the path with its query; what is empty is left out."""
    given = {name: value for name, value in {**query, "after": after}.items() if value not in ("", [], (), None)}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path

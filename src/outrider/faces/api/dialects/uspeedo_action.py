"""The Action API: one URL, `POST /api`, whose JSON body says in `Action` what is to be done.

Clients repeat the action in the query string; it counts where the body does not say it. All else is read from the body
alone: it is what was signed. Source: shared/uspeedo.md 1.8, 2.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from outrider.base.errors import CallerError
from outrider.faces.api.dialects import uspeedo_explain, uspeedo_faults


class _Head(msgspec.Struct, frozen=True, rename="pascal"):
    action: str | UnsetType | None = UNSET


_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode: Final = msgspec.json.Decoder().decode


def read(body: bytes, query: Mapping[str, str]) -> str:
    """Return the action asked for, whatever it is. Raises CallerError, MissingFieldError."""
    said: str | UnsetType | None = UNSET
    if body:
        try:
            said = _decode_head(body).action
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise uspeedo_explain.action(body) from None
    if not isinstance(said, str):
        said = query.get("Action")
    if not said:
        raise uspeedo_faults.missing("Action")
    return said


def fields(body: bytes) -> Mapping[str, object]:
    """Return the body's fields; what is an array or object stays undecoded, for no parameter that is read so is one.

    Raises:
        CallerError: field "Body": it is no JSON object.
    """
    if not body:
        return {}
    found: dict[str, object] = {}
    for name, raw in uspeedo_explain.split(body).items():
        try:
            found[name] = raw if bytes(raw)[:1] in b"[{" else _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise CallerError("There is text in it that is not valid JSON.", field=name) from None
    return found


def parse_query(query_string: bytes) -> Mapping[str, str]:
    """Return the parameters of a query string; of a name that is there more than once, the first."""
    parsed = urllib.parse.parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}

"""From octets to typed values: bodies and query strings. Errors name the field as the caller wrote it, `to[3]`.

msgspec checks while it decodes; what it says of the first thing wrong is put into words that a caller of JSON knows.
"""

import re
import typing
import urllib.parse
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from outrider.base.errors import CallerError, MissingFieldError

_QUERY_COUNT_MAX: Final = 100  # Ours: parameters of one call.
_NAME_CHARS_MAX: Final = 60  # Ours: of a name that we repeat in an error.
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)
_KINDS: Final = {
    "`str": "`string",
    "`int": "`integer",
    "`float": "`number",
    "`bool": "`boolean",
    "`datetime": "`date and time",
    "`uuid": "`UUID",
}
_PLAIN: Final = frozenset({int, float, bool})
Kind = TypeVar("Kind", bound=msgspec.Struct)


def body(octets: bytes, decode: Callable[[bytes], Any]) -> Any:
    """Return what `decode` makes of the body.

    Raises:
        MissingFieldError: `field` is required and absent.
        CallerError: it is no JSON, or not of the shape that is asked for.
    """
    if not octets:
        raise CallerError("The body is empty; it must be JSON.")
    try:
        return decode(octets)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ") if isinstance(error, msgspec.DecodeError) else ""
        raise CallerError(f"The body is not JSON in UTF-8{': ' if reason else ''}{reason}.") from None


def query(octets: bytes, kind: type[Kind]) -> Kind:
    """Return the parameters of a query string; those of a list may come more than once.

    Raises:
        CallerError: `field` is unknown, given twice, or not of its type.
    """
    try:
        given = urllib.parse.parse_qs(
            octets.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_QUERY_COUNT_MAX
        )
    except ValueError:  # Not ASCII, not UTF-8 below the percent signs, or too many.
        raise CallerError("The query string is malformed: percent-encoded UTF-8, at most 100 parameters.") from None
    hints = typing.get_type_hints(kind)
    known = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}
    values: dict[str, object] = {}
    for name, texts in given.items():
        if name not in known:
            raise CallerError(f"There is no parameter {_shown(name)} here.", field=_shown(name))
        if typing.get_origin(known[name]) in (list, tuple):
            values[name] = texts
        elif len(texts) > 1:
            raise CallerError("It is given more than once.", field=name)
        else:
            values[name] = _plain(texts[0], known[name])
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def given(body: msgspec.Struct) -> dict[str, Any]:
    """Return what a change names, by the names of its fields; what it left out stays as it is."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in values.items() if not isinstance(value, msgspec.UnsetType)}


def _plain(text: str, hint: Any) -> object:
    """Return the number or truth value that a text stands for where one is wanted; everything else is a text.

    msgspec's own lax reading would also take `null` for nothing and `0.5` for an instant.
    """
    if not _PLAIN.intersection(typing.get_args(hint) or (hint,)) or text.lower() == "null":
        return text
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError:
        return text  # What it is not is said in its place.


def _explained(text: str) -> CallerError:
    """Put msgspec's sentence into an error of ours."""
    matched = _AT.fullmatch(text)
    assert matched is not None
    what, place = matched["what"], (matched["path"] or "").removeprefix(".")
    if named := _FIELD.fullmatch(what):
        field = ".".join(part for part in (place, _shown(named[1])) if part)
        if what.startswith("Object missing"):
            return MissingFieldError(f"The field {field} is missing.", field=field)
        return CallerError(f"There is no field {field} here.", field=field)
    for ours, theirs in _KINDS.items():
        what = re.sub(rf"{re.escape(ours)}\b", theirs, what)
    return CallerError(f"{what}.", field=place)


def _shown(name: str) -> str:
    """What a stranger called a field, fit to be repeated."""
    kept = name[:_NAME_CHARS_MAX]
    return kept if kept.isprintable() else ascii(kept)[1:-1]

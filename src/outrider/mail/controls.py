"""Header fields by which a mail says how it is to be sent: ours (`X-Outrider-*`) and what other providers call theirs.

    read(fields)    the fields that `repair` took out, as one record

| ours | means | others |
|---|---|---|
| Stream | `transactional` or `marketing` | X-PM-Message-Stream: `outbound`, `broadcast` |
| Tag (again and again), Tags (with commas) | words to find mail by | X-PM-Tag, X-Mailgun-Tag, X-SMTPAPI `category`, |
| | | X-SES-CONFIGURATION-SET as `configuration-set:NAME` |
| Metadata (JSON object) | comes back with every event | X-PM-Metadata-NAME, X-Mailgun-Variables, |
| | | X-SMTPAPI `unique_args`, X-SES-MESSAGE-TAGS |
| Track-Opens, Track-Clicks | `yes` or `no` | X-PM-TrackOpens, X-PM-TrackLinks, X-Mailgun-Track-*, |
| | | X-Mailgun-Track for both, X-SMTPAPI `filters` |
| Template, Variables (JSON object), Locale | the content, in place of the body | |
| Send-At, Expires | an instant; seconds, or `90m`, `12h`, `3d` | X-Mailgun-Deliver-By, X-SMTPAPI `send_at` |
| Pool, Campaign, List, Idempotency-Key | as in the API | |

A field of ours that does not exist is refused: it is a typing error, and somebody counts on it. Others' that we do not
know are dropped, but for those without which other mail is sent than meant, or at another time. Bounds are
`engine.check`'s.
"""

import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from outrider.base import digits, instants, limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.mail import parse

_TRUE: Final = frozenset({"yes", "true", "on", "1"})
_FALSE: Final = frozenset({"no", "false", "off", "0"})
_STREAMS: Final[Mapping[str, Stream]] = {
    "transactional": Stream.TRANSACTIONAL,
    "marketing": Stream.MARKETING,
    "outbound": Stream.TRANSACTIONAL,  # Postmark's names.
    "broadcast": Stream.MARKETING,
    "broadcasts": Stream.MARKETING,
}
_UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_duration: Final = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII).fullmatch
_TRACKING: Final = frozenset(
    {"x-pm-trackopens", "x-pm-tracklinks", "x-mailgun-track", "x-mailgun-track-opens", "x-mailgun-track-clicks"}
)
# What would become other mail than its sender means.
_DANGEROUS: Final = frozenset({"x-mailgun-drop-message", "x-mailgun-recipient-variables"})
_DANGEROUS_BEGINNING: Final = "x-mailgun-template-"  # Name, version, variables: of a template that we do not have.
_DANGEROUS_IN_SMTPAPI: Final = frozenset({"to", "sub", "section", "send_each_at"})
_read_json: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Controls(msgspec.Struct, kw_only=True):
    """How a mail is to be sent. What nobody said is as a submission has it."""

    stream: Stream = Stream.TRANSACTIONAL
    tags: list[str] = []
    metadata: dict[str, str] = {}
    track_opens: bool | None = None
    track_clicks: bool | None = None
    template: str = ""  # By id or name.
    variables: dict[str, Any] = {}
    locale: str = ""
    send_at: datetime | None = None
    expires_s: float | None = None
    pool: str = ""
    campaign: str = ""
    list_name: str = ""
    idempotency_key: str = ""


def read(fields: Sequence[tuple[str, str]]) -> Controls:
    """Return what the fields say; the last one counts where there can be one only.

    Args:
        fields: names in lower case, values unfolded.

    Raises:
        CallerError: for the field at fault, as people write it.
    """
    controls = Controls()
    for name, raw in fields:
        value = parse.decode_words(raw).strip()
        shown = "-".join(word.capitalize() for word in name.split("-"))
        if name.startswith("x-outrider-"):
            _read_ours(controls, name.removeprefix("x-outrider-"), value, shown)
        elif name in _DANGEROUS or name.startswith(_DANGEROUS_BEGINNING):
            raise CallerError("Outrider does not know this, and would send what is not meant.", field=shown)
        else:
            _read_others(controls, name, value, shown)
    return controls


def _read_ours(controls: Controls, name: str, value: str, shown: str) -> None:
    match name:
        case "stream":
            controls.stream = _stream(value, shown)
        case "tag":
            controls.tags.append(value)
        case "tags":
            controls.tags += [tag for part in value.split(",") if (tag := part.strip())]
        case "metadata":
            controls.metadata |= _texts(value, shown)
        case "track-opens":
            controls.track_opens = _is_on(value, shown)
        case "track-clicks":
            controls.track_clicks = _is_on(value, shown)
        case "variables":
            controls.variables = _object(value, shown)
        case "send-at":
            controls.send_at = _instant(value, shown)
        case "expires":
            controls.expires_s = _seconds(value, shown)
        case "list":
            controls.list_name = value
        case "template" | "locale" | "pool" | "campaign" | "idempotency-key":
            setattr(controls, name.replace("-", "_"), value)
        case _:
            raise CallerError("There is no such field; the documentation lists those there are.", field=shown)


def _read_others(controls: Controls, name: str, value: str, shown: str) -> None:
    match name:
        case "x-pm-tag" | "x-mailgun-tag":
            controls.tags.append(value)
        case "x-ses-configuration-set":
            controls.tags.append(f"configuration-set:{value}")
        case "x-ses-message-tags":
            controls.metadata |= _pairs(value, shown)
        case "x-pm-message-stream":
            controls.stream = _stream(value, shown)
        case "x-mailgun-variables":
            controls.metadata |= _texts(value, shown)
        case _ if name in _TRACKING:
            _read_tracking(controls, name, value, shown)
        case "x-mailgun-deliver-by":
            controls.send_at = _instant(value, shown)
        case "x-smtpapi":
            _read_smtpapi(controls, _object(value, "X-SMTPAPI"))
        case _ if name.startswith("x-pm-metadata-"):
            controls.metadata[name.removeprefix("x-pm-metadata-")] = value
        case _:
            pass  # Of another provider, about what only it does.


def _read_tracking(controls: Controls, name: str, value: str, shown: str) -> None:
    match name:
        case "x-pm-trackopens" | "x-mailgun-track-opens":
            controls.track_opens = _is_on(value, shown)
        case "x-pm-tracklinks":
            controls.track_clicks = value.lower() != "none"
        case "x-mailgun-track-clicks":
            controls.track_clicks = value.lower() == "htmlonly" or _is_on(value, shown)
        case _:  # Both at once; what has a field of its own goes by that, wherever it stands.
            is_on = value.lower() == "htmlonly" or _is_on(value, shown)
            controls.track_opens = is_on if controls.track_opens is None else controls.track_opens
            controls.track_clicks = is_on if controls.track_clicks is None else controls.track_clicks


def _read_smtpapi(controls: Controls, given: Mapping[str, Any]) -> None:
    """Read SendGrid's field: categories and arguments; what would change recipients or content is refused."""
    if known := sorted(_DANGEROUS_IN_SMTPAPI & {name for name, value in given.items() if value}):
        raise CallerError(f"Outrider does not know {known[0]!r} of it: use a template, or the API.", field="X-SMTPAPI")
    category = given.get("category")
    if category is not None:
        controls.tags += _categories([category] if isinstance(category, str) else category)
    if given.get("unique_args") is not None:
        controls.metadata |= _as_texts(given["unique_args"], "X-SMTPAPI")
    _read_filters(controls, given.get("filters") or {})
    if given.get("send_at") is not None:
        controls.send_at = _instant(str(given["send_at"]), "X-SMTPAPI")


def _read_filters(controls: Controls, filters: object) -> None:
    if _is_filter_on(filters, "templates"):
        raise CallerError("Outrider does not know 'templates' of it: use X-Outrider-Template.", field="X-SMTPAPI")
    opens, clicks = _is_filter_on(filters, "opentrack"), _is_filter_on(filters, "clicktrack")
    controls.track_opens = controls.track_opens if opens is None else opens
    controls.track_clicks = controls.track_clicks if clicks is None else clicks


def _is_filter_on(filters: object, name: str) -> bool | None:
    """Return what `filters.NAME.settings.enable` says; None: nothing. SendGrid takes 0, "0" and false."""
    found = filters
    for step in (name, "settings", "enable"):
        if not found:  # PHP writes an empty object as [].
            return None
        if not isinstance(found, dict):
            raise CallerError('Its filters are {"opentrack": {"settings": {"enable": 0}}}.', field="X-SMTPAPI")
        found = found.get(step)
    return None if found is None else _is_on(found if isinstance(found, str) else _written(found), "X-SMTPAPI")


def _categories(given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise CallerError("A category is a text, or a list of them.", field="X-SMTPAPI")
    return given


def _stream(value: str, shown: str) -> Stream:
    found = _STREAMS.get(value.lower())
    if found is None:
        raise CallerError("A stream is transactional or marketing.", field=shown)
    return found


def _is_on(value: str, shown: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise CallerError("It is yes or no.", field=shown)
    return value.lower() in _TRUE


def _object(value: str, shown: str) -> dict[str, Any]:
    try:
        return _read_json(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise CallerError('It is a JSON object, such as {"order": "1042"}.', field=shown) from error


def _texts(value: str, shown: str) -> dict[str, str]:
    return _as_texts(_object(value, shown), shown)


def _as_texts(given: object, shown: str) -> dict[str, str]:
    if not isinstance(given, dict) or any(isinstance(value, dict | list) for value in given.values()):
        raise CallerError("Each of its values is a text or a number.", field=shown)
    return {str(name): value if isinstance(value, str) else _written(value) for name, value in given.items()}


def _written(value: object) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _pairs(value: str, shown: str) -> dict[str, str]:
    found = {name.strip(): text.strip() for name, _, text in [part.partition("=") for part in value.split(",")]}
    if not all(found):
        raise CallerError("It is NAME=VALUE, with commas between.", field=shown)
    return found


def _instant(value: str, shown: str) -> datetime:
    """Read Unix seconds, ISO 8601 or the form of a Date field."""
    unix_s = digits.parse(value, most=limits.UNIX_S_MAX)
    if unix_s is not None:
        return datetime.fromtimestamp(unix_s, UTC)
    found: datetime | None = None
    for read_one in (datetime.fromisoformat, _of_date_field):
        try:
            found = read_one(value)
        except (ValueError, OverflowError):  # A year of twenty digits.
            continue
        break
    if found is None:
        raise CallerError("An instant is written 2026-12-24T08:00:00Z.", field=shown)
    return instants.aware(found, shown)


def _of_date_field(value: str) -> datetime:
    """Read `Thu, 24 Dec 2026 08:00:00 -0000`, too: UTC, of a place that is not told. Source: RFC 5322 §3.3."""
    found = email.utils.parsedate_to_datetime(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None and "-0000" in value else found


def _seconds(value: str, shown: str) -> float:
    found = _duration(value)
    if found is None:
        raise CallerError("It is seconds, or a number with m, h or d behind it.", field=shown)
    return float(found[1]) * _UNITS_S[found[2]]

"""What a POST to the page behind the link to unsubscribe asks for. Pure.

    List-Unsubscribe=One-Click, nothing, or anything else      leave: a mail program's one click (RFC 8058 §3.2)
    action=leave | leave_all | choose | resubscribe            a button of the page
    shown=A&shown=B&topic=A                                    with `choose`: which topics it showed, which are ticked
    why=too_many&said=...                                      with the first three

What cannot be understood is taken for leaving: that is what the link is for. A topic that came into being after the
page was shown is not among `shown`, so it stays as it is.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec

from outrider.base import limits
from outrider.services.leaving import LeavingReason, Word

_FORM: Final = b"application/x-www-form-urlencoded"
_FIELDS_COUNT_MAX: Final = 2 * limits.TOPICS_STORED_COUNT_MAX + 10  # Ours: each topic twice, and the rest of the form.
_ONE_CLICK: Final = "List-Unsubscribe"
_ACTIONS: Final = frozenset({"leave", "leave_all", "choose", "resubscribe"})


class LeavingForm(msgspec.Struct, frozen=True, kw_only=True):
    """What it asks for."""

    action: str = "leave"  # One of `_ACTIONS`.
    wanted: Mapping[str, bool] = {}  # By topic.
    word: Word = Word()


def read(octets: bytes, media_type: bytes) -> LeavingForm:
    """Return what a body asks for. Total."""
    if not media_type.lower().startswith(_FORM):
        return LeavingForm()
    try:
        fields = urllib.parse.parse_qs(
            octets.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_COUNT_MAX
        )
    except ValueError:  # Too many fields.
        return LeavingForm()
    action = fields.get("action", [""])[0]
    if _ONE_CLICK in fields or action not in _ACTIONS:
        return LeavingForm()
    ticked = frozenset(fields.get("topic", ()))
    return LeavingForm(
        action=action,
        wanted={name: name in ticked for name in fields.get("shown", ())},
        word=Word(why=_why(fields.get("why", [""])[0]), said=fields.get("said", [""])[0]),
    )


def _why(text: str) -> LeavingReason | None:
    return LeavingReason(text) if text in list(LeavingReason) else None

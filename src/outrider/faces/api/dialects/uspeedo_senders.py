"""GetSenderList: from its parameters to a question for the roster, and from a page of senders to JSON.

Clients take the first row that may send (`Status` 1) as the sender to use, so the project's default sender comes first
unless the caller asks for an order. Source: shared/uspeedo.md 1.7.
"""

from collections.abc import Mapping, Set
from typing import Final
from uuid import UUID

from outrider.base import digits, limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.faces.api.dialects.uspeedo_types import SenderRow
from outrider.services.roster import ListedSender, SenderPage, SenderQuery

PER_PAGE_COUNT: Final = 20  # shared/uspeedo.md 1.7; so are the next.
PER_PAGE_COUNT_MAX: Final = 200
_DEFAULT, _SINGLE = 0, 1  # Their SenderType.
_ORDERS: Final = ("create_time", "update_time")
_DIRECTIONS: Final = ("desc", "asc")
_PAGE_MAX: Final = 2**31 - 1
_ACCOUNT_ID_BITS: Final = 53  # Whole numbers that JavaScript can hold.


def read(given: Mapping[str, object]) -> SenderQuery:
    """Return what the parameters ask for; what is null or "" is as good as absent.

    Args:
        given: strings from a query string, or the values of a JSON object.

    Raises:
        CallerError: for the parameter at fault.
    """
    kind = _number(given, "SenderType", default=None, most=_SINGLE)
    count = _number(given, "NumPerPage", default=PER_PAGE_COUNT, most=PER_PAGE_COUNT_MAX)
    at = _number(given, "Page", default=0, most=_PAGE_MAX)
    if not count:
        raise CallerError(f"NumPerPage is 1 to {PER_PAGE_COUNT_MAX}.", field="NumPerPage")
    order = _word(given, "OrderBy", _ORDERS)
    return SenderQuery(
        address=_text(given, "Email"),
        domain=_text(given, "Domain"),
        is_default=None if kind is None else kind == _DEFAULT,
        words=_text(given, "FuzzySearch"),
        is_default_first=not order,
        is_by_update=order == "update_time",
        is_newest_first=_word(given, "OrderType", _DIRECTIONS) != "asc",
        offset=(at or 0) * count,
        count_max=count,
    )


def rows(page: SenderPage, project_id: UUID, domains: Set[str] = frozenset()) -> list[SenderRow]:
    """Return the senders of a page of that project; `domains` are those the key may send from, all if it is empty."""
    account_id = project_id.int % 2**_ACCOUNT_ID_BITS  # Theirs are numbers; ours is as good as random in its last bits.
    return [_row(sender, account_id, domains) for sender in page.senders]


def _row(sender: ListedSender, account_id: int, domains: Set[str]) -> SenderRow:
    return SenderRow(
        sender_id=str(sender.sender_id),
        sender_type=_DEFAULT if sender.is_default else _SINGLE,
        domain=sender.domain,
        trigger_type=2 if sender.stream is Stream.MARKETING else 1,
        address=sender.address,
        alias=sender.name,
        account_id=account_id,
        is_default=int(sender.is_default),
        status=int(sender.may_send and (not domains or sender.domain in domains)),
        create_time=int(sender.created_at.timestamp()),
        update_time=int(sender.updated_at.timestamp()),
    )


def _text(given: Mapping[str, object], name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value or len(value) > limits.ADDRESS_BYTES_MAX:
        raise CallerError(f"{name} is a text of up to {limits.ADDRESS_BYTES_MAX} characters.", field=name)
    return value.strip()


def _number(given: Mapping[str, object], name: str, *, default: int | None, most: int) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return default
    number = digits.parse(value, most=most) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise CallerError(f"{name} is a whole number from 0 to {most}.", field=name)
    return number


def _word(given: Mapping[str, object], name: str, words: tuple[str, ...]) -> str:
    value = _text(given, name).lower()
    if value and value not in words:
        raise CallerError(f"{name} is {' or '.join(words)}.", field=name)
    return value

"""GetSenderList's parameters, as query strings and as JSON have them, and the rows of its answer."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.faces.api.dialects.uspeedo_senders import read, rows
from outrider.services.roster import ListedSender, SenderPage, SenderQuery

NOON = datetime(2026, 3, 4, 12, 0, 0, 900_000, tzinfo=UTC)
SENDER = ListedSender(UUID(int=3), "a@shop.example", "Shop", "shop.example", None, False, False, NOON, NOON)


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({}, SenderQuery()),
        ({"Page": "0", "NumPerPage": "", "Email": None, "Unknown": [1]}, SenderQuery()),
        ({"Page": 2, "NumPerPage": 200}, SenderQuery(offset=400, count_max=200)),
        ({"Page": "3", "NumPerPage": "7"}, SenderQuery(offset=21, count_max=7)),
        ({"Email": " A@shop.example "}, SenderQuery(address="A@shop.example")),
        ({"Domain": "shop.example", "FuzzySearch": "50%_"}, SenderQuery(domain="shop.example", words="50%_")),
        ({"SenderType": 0}, SenderQuery(is_default=True)),
        ({"SenderType": "1"}, SenderQuery(is_default=False)),
        ({"OrderBy": "create_time"}, SenderQuery(is_default_first=False)),
        (
            {"OrderBy": "update_time", "OrderType": "ASC"},
            SenderQuery(is_default_first=False, is_by_update=True, is_newest_first=False),
        ),
        ({"OrderType": "asc"}, SenderQuery(is_newest_first=False)),
        ({"Page": 2**31 - 1, "NumPerPage": 200}, SenderQuery(offset=(2**31 - 1) * 200, count_max=200)),
    ],
)
def test_parameters_are_read(given: dict[str, object], query: SenderQuery) -> None:
    assert read(given) == query


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Page", "-1"),
        ("Page", -1),
        ("Page", "1.0"),
        ("Page", 1.0),
        ("Page", True),
        ("Page", "٣"),
        ("Page", 2**31),
        ("Page", "9" * 5000),
        ("Page", msgspec.Raw(b"[]")),
        ("NumPerPage", 0),
        ("NumPerPage", "201"),
        ("SenderType", 2),
        ("SenderType", "x"),
        ("OrderBy", "email"),
        ("OrderBy", 5),
        ("OrderType", "sideways"),
        ("Email", 5),
        ("Domain", "a\x00b"),
        ("FuzzySearch", "x" * 255),
        ("FuzzySearch", msgspec.Raw(b"{}")),
    ],
)
def test_a_wrong_parameter_is_named(name: str, value: object) -> None:
    with pytest.raises(CallerError) as caught:
        read({name: value})
    assert caught.value.field == name
    assert name in caught.value.public


def test_rows_say_what_the_documents_say() -> None:
    marketing = msgspec.structs.replace(SENDER, stream=Stream.MARKETING, is_default=True, may_send=True)
    single, default = rows(SenderPage(2, [SENDER, marketing]), UUID(int=2**100 + 5))
    assert (single.sender_type, single.is_default, single.status, single.trigger_type) == (1, 0, 0, 1)
    assert (default.sender_type, default.is_default, default.status, default.trigger_type) == (0, 1, 1, 2)
    assert (single.account_id, single.create_time) == (5, int(NOON.timestamp()))


def test_a_sender_that_the_key_may_not_use_is_none_to_choose() -> None:
    able = msgspec.structs.replace(SENDER, may_send=True)
    domains = (frozenset[str](), frozenset({"shop.example"}), frozenset({"other.example"}))
    assert [rows(SenderPage(1, [able]), UUID(int=1), each)[0].status for each in domains] == [1, 1, 0]


def test_an_account_id_is_a_number_that_javascript_can_hold() -> None:
    (row,) = rows(SenderPage(1, [SENDER]), UUID(int=2**128 - 1))
    assert row.account_id == 2**53 - 1

"""What templates may touch: names that are folded, values that cannot be reached through, the purse."""

import pytest

from outrider.base import limits
from outrider.base.errors import TemplateBoundError, TemplateError
from outrider.mail import guard
from outrider.mail.guard import Fields, Purse, Row, Safe


@pytest.mark.parametrize("name", ["1", "first name", "größe", "items", "loop", "_g_tick", "_v_31", "a.b", "in"])
def test_a_folded_name_is_read_back_and_is_no_name_of_ours(name: str) -> None:
    folded = guard.fold(name)
    assert folded.startswith("_v_")
    assert guard.unfold(f"no {folded}!") == f"no {name}!"


def test_plain_names_stay() -> None:
    assert [guard.fold(name) for name in ("name", "_private", "a1", "Total")] == ["name", "_private", "a1", "Total"]


def test_fields_answer_names_and_four_calls_and_nothing_else() -> None:
    fields = guard.own({"user": {"name": "Ana", "items": 3, "gone": None}})[0]["user"]
    assert isinstance(fields, Fields)
    assert (fields["name"], fields["items"], len(fields)) == ("Ana", 3, 2)
    for missing in ("gone", "pop", "__class__", 3):
        with pytest.raises(KeyError):
            fields[missing]
    for closed in ("pop", "update", "clear"):
        with pytest.raises(AttributeError):
            getattr(fields, closed)


def test_a_name_just_missed_is_no_call_either() -> None:
    fields = Fields({"a": 1}, 1)
    with pytest.raises(KeyError):
        fields["get"]
    with pytest.raises(AttributeError):
        fields.get  # noqa: B018
    assert fields.get("a") == 1
    assert [list(pair) for pair in fields.items()] == [["a", 1]]  # type: ignore[attr-defined]


def test_a_row_is_read_only_and_knows_whole_numbers() -> None:
    row = guard.own({"row": ["a", None, {"b": 1}]})[0]["row"]
    assert isinstance(row, Row)
    assert (row[0], row[1], row[-1]["b"]) == ("a", "", 1)  # type: ignore[index]
    for wrong in ("0", True, None):
        with pytest.raises(TypeError):
            row[wrong]
    assert not hasattr(row, "append")
    assert not hasattr(row, "count")


def test_equal_values_are_equal() -> None:
    first, second = (guard.own({"a": {"b": [1, {"c": "d"}]}})[0]["a"] for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != Fields({}, 0)


def test_the_longest_text_is_told() -> None:
    assert guard.own({"ab": "cde", "f": ["ghijk"]})[1] == 5


def test_weight_counts_all_levels() -> None:
    inner = guard.own({"a": ["xx", {"b": "yyy"}]})[0]["a"]
    assert guard.weight([inner, "zz", 1]) > len("xxyyyzz")


def test_values_made_by_a_template_may_not_stand_in_each_other_for_ever() -> None:
    def stack(depth: int) -> Row:
        return Row([stack(depth - 1)] if depth else [], 1)

    assert stack(limits.VARIABLES_DEPTH_COUNT_MAX)
    with pytest.raises(TemplateError, match="too deep"):
        stack(100)


@pytest.fixture
def purse() -> Purse:
    purse = Purse(is_lenient=False)
    purse.open(10)
    return purse


def test_what_is_shown_is_escaped_in_html_alone(purse: Purse) -> None:
    assert purse.show("a<b") is NotImplemented
    purse.is_html = True
    assert purse.show("a<b") == "a&lt;b"
    assert purse.show("plain") is NotImplemented
    assert purse.show(Safe("<b>")) is NotImplemented
    assert purse.show(["<", 1]) == "&lt;, 1"


def test_what_is_shown_is_bounded(purse: Purse) -> None:
    for _ in range(limits.RENDERED_CHARS_MAX // limits.VARIABLES_CHARS_MAX):
        purse.show("x" * limits.VARIABLES_CHARS_MAX)
    with pytest.raises(TemplateBoundError, match="characters"):
        purse.show("x" * limits.VARIABLES_CHARS_MAX)
    purse.open(10)
    purse.show("x")


def test_work_is_bounded(purse: Purse) -> None:
    purse.tick(1, 1000)
    with pytest.raises(TemplateBoundError, match="too much"):
        purse.tick(1, limits.RENDER_WORK_CHARS_MAX // 10)


def test_a_kept_value_makes_each_step_dearer(purse: Purse) -> None:
    assert purse.cost(1000)
    assert purse.seen("x" * 60_000)
    with pytest.raises(TemplateBoundError, match="too much"):
        purse.cost(1000)


def test_a_value_that_is_too_long_is_refused(purse: Purse) -> None:
    with pytest.raises(TemplateBoundError, match="A value is over"):
        purse.kept("x" * (limits.VARIABLES_CHARS_MAX + 1))


def test_what_is_not_given_is_an_error_or_nothing() -> None:
    with pytest.raises(guard.MissingError):
        Purse(is_lenient=False).text(None)
    assert Purse(is_lenient=True).text(None) == ""


def test_escaping_is_done_once(purse: Purse) -> None:
    assert purse.escaped(Safe("<b>")) == "<b>"
    assert purse.escaped("<b>") == "&lt;b&gt;"

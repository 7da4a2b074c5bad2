"""The filters and operators of templates that minijinja's fuel does not bound, written again with a count. Pure.

Each method of `Filters` that a template may call pays the purse for what it reads and what it makes. `OWN` names the
filters; a template's `x|join(", ")` is `x|_g_join(", ")` for minijinja. What is not given reaches us as None.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeGuard

from outrider.base import limits
from outrider.base.errors import TemplateBoundError, TemplateError
from outrider.mail.guard import Fields, MissingError, Purse, Row, Safe, weight

OWN: Final = (  # noqa: SIM905 - a list of words is longer than it is clear.
    "dictsort e escape format items join linebreaks list map max min reject rejectattr replace reverse select "
    "selectattr sort split sum tojson truncate unique"
).split()
_NUMBER_MAX: Final = 2**63  # Beyond, the binding would show a Python object.
_EACH_CHARS: Final = 300  # What a value of a list costs us in Python, in characters that minijinja would read.
_FORMAT: Final = re.compile(r"%(?:%|[-+ 0]{0,2}\d{0,2}(?:\.\d{0,2})?[sdfeg])")


class Filters:
    """What templates call, for one purse."""

    def __init__(self, purse: Purse) -> None:
        self._purse: Final = purse

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by the names that minijinja knows them by."""
        return {f"_g_{name}": getattr(self, f"filter_{name}") for name in OWN}

    def functions(self) -> dict[str, Callable[..., object]]:
        """Return the functions likewise."""
        names = ("cat", "add", "mul", "pow", "row", "fields", "range")
        return {f"_g_{name}": getattr(self, f"call_{name}") for name in names} | {
            "_g_tick": self._purse.tick,
            "_g_cost": self._purse.cost,
            "_g_seen": self._purse.seen,
        }

    # -- Operators.

    def call_cat(self, *parts: object) -> str:
        """`a ~ b`; HTML when one of them is."""
        if any(hasattr(part, "__html__") for part in parts):
            return Safe(self._purse.kept("".join(self._html(part) for part in parts)))
        return self._purse.kept("".join(self._purse.text(part) for part in parts))

    def call_add(self, left: object, right: object) -> object:
        """`a + b`, of two numbers or two texts."""
        if isinstance(left, str) and isinstance(right, str):
            return self.call_cat(left, right)
        return _checked(_number(left, "+") + _number(right, "+"))

    def call_mul(self, left: object, right: object) -> object:
        """`a * b`, of numbers alone."""
        return _checked(_number(left, "*") * _number(right, "*"))

    def call_pow(self, left: object, right: object) -> object:
        """`a ** b`, of small numbers alone."""
        base, exponent = _number(left, "**"), _number(right, "**")
        if abs(base) > 1e6 or abs(exponent) > 64:
            raise TemplateError("A power is too large.")
        try:
            return _checked(base**exponent)
        except (ArithmeticError, ValueError):
            raise TemplateError("A power cannot be worked out.") from None

    def call_row(self, *values: object) -> Row:
        """`[a, b]`."""
        heavy = weight(values)
        if heavy > limits.VARIABLES_CHARS_MAX:
            raise TemplateBoundError("A list holds too much.")
        self._purse.pay(heavy)
        return Row(["" if value is None else value for value in values], heavy)

    def call_fields(self, *pairs: object) -> Fields:
        """`{"a": b}`, as key, value, key, value."""
        heavy = weight(pairs)
        if heavy > limits.VARIABLES_CHARS_MAX:
            raise TemplateBoundError("An object holds too much.")
        self._purse.pay(heavy)
        return Fields(dict(zip(map(str, pairs[::2]), pairs[1::2], strict=True)), heavy)

    def call_range(self, first: object = None, stop: object = None, step: object = 1) -> Row:
        """`range(n)`, as Python's."""
        start, end = (0, first) if stop is None else (first, stop)
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int) and step):
            raise TemplateError("range takes whole numbers.")
        numbers = range(start, end, step)
        if len(numbers) > limits.VARIABLES_COUNT_MAX:
            raise TemplateBoundError(f"range counts over {limits.VARIABLES_COUNT_MAX}.")
        self._purse.pay(len(numbers))
        return Row(list(numbers), len(numbers))

    # -- Filters of texts.

    def filter_e(self, value: object) -> Safe:
        """Escape for HTML, once."""
        return Safe(self._purse.kept(self._html(value)))

    filter_escape = filter_e

    def filter_replace(self, value: object, old: object, new: object) -> str:
        """Put `new` for each `old`."""
        text, before, after = (self._purse.text(each) for each in (value, old, new))
        count = text.count(before)
        self._purse.pay(len(text) + count * len(after))
        if len(text) + count * len(after) > limits.VARIABLES_CHARS_MAX:
            raise TemplateBoundError("replace makes too long a text.")
        return self._purse.kept(text.replace(before, after))

    def filter_truncate(self, value: object, length: object = 255, killwords: object = False, end: object = "…") -> str:
        """Cut to `length` characters, at a space unless `killwords`."""
        text, ending = self._purse.text(value), self._purse.text(end)
        if not isinstance(length, int) or length < 0:
            raise TemplateError("truncate takes a whole number.")
        if len(text) <= length:
            return self._purse.kept(text)
        cut = text[: max(length - len(ending), 0)]
        if not killwords and " " in cut:
            cut = cut.rpartition(" ")[0]
        return self._purse.kept(cut + ending)

    def filter_format(self, value: object, *arguments: object) -> str:
        """`"%.2f"|format(price)`: %s %d %f %e %g with a width of two digits."""
        pattern = self._purse.text(value)
        if "%" in _FORMAT.sub("", pattern):
            raise TemplateError("format knows %s, %d, %f, %e and %g, with a width of at most two digits.")
        shown = tuple(each if isinstance(each, int | float) else self._purse.text(each) for each in arguments)
        self._purse.pay(sum(len(str(each)) for each in shown))
        try:
            return self._purse.kept(pattern % shown)
        except (TypeError, ValueError, OverflowError):
            raise TemplateError("format has other values than its pattern asks for.") from None

    def filter_linebreaks(self, value: object) -> Safe:
        """Escape, and show line breaks as <br>."""
        return Safe(self._purse.kept(self._html(value).replace("\r\n", "\n").replace("\n", "<br>\n")))

    def filter_tojson(self, value: object) -> Safe:
        """As JSON that may stand in HTML."""
        self._purse.pay(weight([value]))
        made = json.dumps(_bare(value), ensure_ascii=False)
        for mark in "<>&'":
            made = made.replace(mark, f"\\u{ord(mark):04x}")
        return Safe(self._purse.kept(made))

    def filter_split(self, value: object, sep: object = None) -> Row:
        """Cut a text at `sep`, or at white space."""
        text = self._purse.text(value)
        parts = text.split(self._purse.text(sep) or None) if sep is not None else text.split()
        self._purse.pay(len(text))
        return Row(parts, len(text) + len(parts))

    # -- Filters of lists.

    def filter_join(self, value: object, sep: object = "", attribute: object = None) -> str:
        """Put the values behind each other, `sep` between them."""
        between = self._purse.text(sep)
        parts = [self._purse.text(self._of(each, attribute)) for each in self._series(value)]
        if len(parts) * len(between) > limits.VARIABLES_CHARS_MAX:
            raise TemplateBoundError("join makes too long a text.")
        return self._purse.kept(between.join(parts))

    def filter_list(self, value: object) -> Row:
        """As a list."""
        return self._row(self._series(value))

    def filter_items(self, value: object) -> Row:
        """An object as pairs of name and value."""
        if not isinstance(value, Fields):
            raise TemplateError("items is for objects.")
        return self._row([Row([key, value[key]], 2) for key in value])

    def filter_dictsort(self, value: object) -> Row:
        """The same, sorted by name."""
        return self._row(sorted(self.filter_items(value), key=lambda pair: str(pair[0])))  # type: ignore[index]

    def filter_reverse(self, value: object) -> object:
        """Back to front, a text as well."""
        if isinstance(value, str):
            return self._purse.kept(value[::-1])
        return self._row(self._series(value)[::-1])

    def filter_sort(self, value: object, reverse: object = False, attribute: object = None) -> Row:
        """Sorted, texts without regard to case."""
        return self._row(
            sorted(self._series(value), key=lambda each: self._key(each, attribute), reverse=bool(reverse))
        )

    def filter_unique(self, value: object, attribute: object = None) -> Row:
        """Each value once, in order."""
        seen: dict[object, object] = {}
        for each in self._series(value):
            seen.setdefault(self._key(each, attribute), each)
        return self._row(list(seen.values()))

    def filter_min(self, value: object, attribute: object = None) -> object:
        """The smallest."""
        return min(self._series(value), key=lambda each: self._key(each, attribute), default="")

    def filter_max(self, value: object, attribute: object = None) -> object:
        """The largest."""
        return max(self._series(value), key=lambda each: self._key(each, attribute), default="")

    def filter_sum(self, value: object, attribute: object = None, start: object = 0) -> object:
        """All numbers added."""
        total = _number(start, "sum")
        for each in self._series(value):
            total += _number(self._of(each, attribute), "sum")
        return _checked(total)

    def filter_map(self, value: object, *, attribute: object = None, default: object = None) -> Row:
        """`attribute` of each."""
        if attribute is None:
            raise TemplateError("map takes attribute=.")
        return self._row([_or(self._of(each, attribute), default) for each in self._series(value)])

    def filter_select(self, value: object) -> Row:
        """Those that are true."""
        return self._row([each for each in self._series(value) if each])

    def filter_reject(self, value: object) -> Row:
        """Those that are not."""
        return self._row([each for each in self._series(value) if not each])

    def filter_selectattr(self, value: object, attribute: object, test: object = None, than: object = None) -> Row:
        """Those whose attribute is true, or equals: `selectattr("state", "eq", "new")`."""
        return self._row([each for each in self._series(value) if self._suits(each, attribute, test, than)])

    def filter_rejectattr(self, value: object, attribute: object, test: object = None, than: object = None) -> Row:
        """The others."""
        return self._row([each for each in self._series(value) if not self._suits(each, attribute, test, than)])

    # -- What they share.

    def _html(self, value: object) -> str:
        return self._purse.escaped(value)

    def _series(self, value: object) -> list[object]:
        if not isinstance(value, Row | Fields | list | tuple | str):
            if value is None and self._purse.is_lenient:
                return []
            raise _no(value, "a list")
        found = list(value)
        self._purse.pay(weight([value]) + len(found) * _EACH_CHARS)
        return found

    def _row(self, values: Sequence[object]) -> Row:
        return Row(values, weight(values))

    def _of(self, value: object, attribute: object) -> object:
        if attribute is None:
            return value
        for name in str(attribute).split(".")[: limits.VARIABLES_DEPTH_COUNT_MAX]:
            value = value[name] if isinstance(value, Fields) and name in value else None
        return value

    def _key(self, value: object, attribute: object) -> tuple[int, object]:
        found = self._of(value, attribute)
        if isinstance(found, int | float):
            return (0, found)
        return (1, str(found).casefold())

    def _suits(self, value: object, attribute: object, test: object, than: object) -> bool:
        found = self._of(value, attribute)
        match test:
            case None:
                return bool(found)
            case "defined":
                return found is not None
            case "undefined":
                return found is None
            case "eq" | "==" | "equalto":
                return found == than
            case "ne" | "!=":
                return found != than
            case "gt" | ">" if _is_number(found) and _is_number(than):
                return found > than
            case "lt" | "<" if _is_number(found) and _is_number(than):
                return found < than
            case "in" if isinstance(than, Row):
                return found in list(than)
            case _:
                raise TemplateError(f"selectattr does not know the test {str(test)[:20]!r}.")


def _or(value: object, other: object) -> object:
    return value if value is not None else "" if other is None else other


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float)


def _no(value: object, wanted: str) -> Exception:
    if value is None:
        return MissingError("A value is used that is not given.")
    return TemplateError(f"A value is not {wanted}.")


def _number(value: object, sign: str) -> int | float:
    if not _is_number(value):
        raise _no(value, f"a number ({sign})")
    return value


def _checked(value: object) -> object:
    if isinstance(value, int) and abs(value) >= _NUMBER_MAX:
        raise TemplateError("A number is too large.")
    if not _is_number(value):
        raise TemplateError("A power cannot be worked out.")
    return value


def _bare(value: object) -> object:
    match value:
        case Fields():
            return {key: _bare(value[key]) for key in value}
        case Row() | list() | tuple():
            return [_bare(each) for each in value]
        case _:
            return value

"""What a template may touch while it renders: values that cannot be reached through, and functions that count.

`own` turns JSON values into what minijinja may see. Text and numbers are its own; a mapping or a list stands behind
`Fields` or `Row`, because the binding would let a template call any method of a Python dict or list, and change it.

minijinja counts steps (fuel), not how much a step makes or reads. So whatever can make a long value out of short ones
comes here instead: `mail.translate` writes `a ~ b` as `_g_cat(a, b)`, and allows only the filters below. Each pays
for what it reads and makes, in characters, from one purse per rendering.

Names that begin with `_g_` are ours, those with `_v_` are names that minijinja cannot read (`fold`).
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from outrider.base import limits
from outrider.base.errors import TemplateBoundError, TemplateError


class MissingError(Exception):
    """A function of ours got a value that is not given. `mail.render` finds out which."""


class Safe(str):
    """Text that is HTML already."""

    __slots__ = ()

    def __html__(self) -> "Safe":
        return self


# A name that minijinja reads as written. Others, and those that a Python dict would answer (`{{ items }}` must be the
# variable, never the dict's method), are folded.
_PLAIN: Final = re.compile(r"(?!_[gv]_)[A-Za-z_][A-Za-z0-9_]*\Z")
_TAKEN: Final = re.compile(
    "(?:true|false|none|True|False|None|not|and|or|in|is|if|else|as|with|import|recursive|loop|self|super|caller|range|"
    f"dict|debug|namespace|{'|'.join(dir(dict))})$"
)


def fold(name: str) -> str:
    """Return the name under which minijinja knows the variable `name`. Safe: one to one."""
    if _PLAIN.match(name) and not _TAKEN.match(name):
        return name
    return "_v_" + name.encode("utf-8", "surrogatepass").hex()


def unfold(text: str) -> str:
    """Return `text` with folded names as their authors wrote them, for errors."""
    return re.sub(r"_v_((?:[0-9a-f]{2})+)", lambda found: bytes.fromhex(found[1]).decode("utf-8", "replace"), text)


METHODS: Final = frozenset({"items", "keys", "values", "get"})  # What a template may call on a mapping.


class Fields:
    """A mapping as templates see it. Read-only; `null` counts as not given."""

    __slots__ = ("_missed", "_values", "depth", "weight")

    def __init__(self, values: Mapping[str, object], weight: int) -> None:
        self._values = values
        self.weight = weight  # Characters and values in it, all levels.
        self.depth = _depth(values.values())
        self._missed = ""

    def __getitem__(self, name: object) -> object:
        value = self._values.get(name) if isinstance(name, str) else None
        if value is None:
            self._missed = str(name)
            raise KeyError(name)
        return value

    def __getattr__(self, name: str) -> Callable[..., object]:
        # The binding asks for an attribute when a key is missing: then there is none, so that it is undefined.
        missed, self._missed = self._missed, ""
        if name == missed or name not in METHODS:
            raise AttributeError(name)
        calls: dict[str, Callable[..., object]] = {
            "items": lambda: Row([Row([key, value], 2) for key, value in self._values.items()], self.weight),
            "keys": lambda: Row(list(self._values), self.weight),
            "values": lambda: Row(list(self._values.values()), self.weight),
            "get": lambda key, other="": self._values.get(key, other),
        }
        return calls[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values))

    def __str__(self) -> str:
        return "{" + ", ".join(f"{key}: {value}" for key, value in self._values.items()) + "}"


class Row:
    """A list as templates see it. Read-only."""

    __slots__ = ("_values", "depth", "weight")

    def __init__(self, values: Sequence[object], weight: int) -> None:
        self._values = values
        self.weight = weight
        self.depth = _depth(values)

    def __getitem__(self, index: object) -> object:
        if not isinstance(index, int) or isinstance(index, bool):
            raise TypeError("an index is a whole number")
        return self._values[index]

    def __iter__(self) -> Iterator[object]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and list(self._values) == list(other._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values))

    def __str__(self) -> str:
        return ", ".join(str(value) for value in self._values)


def _depth(values: Iterable[object]) -> int:
    """Return how deep a value that holds these is. Raises TemplateError when it is too deep to be shown or compared."""
    deepest = 1 + max((value.depth for value in values if isinstance(value, Fields | Row)), default=0)
    if deepest > 2 * limits.VARIABLES_DEPTH_COUNT_MAX:
        raise TemplateError("Values stand in each other too deep.")
    return deepest


def weight(values: Iterable[object]) -> int:
    """Return the characters and values in these, at all levels."""
    total = 0
    for value in values:
        match value:
            case str():
                total += len(value) + 1
            case Fields() | Row():
                total += value.weight + 1
            case list() | tuple():
                total += weight(value) + 1
            case _:
                total += 1
    return total


Sequence.register(Row)  # Else the binding takes it for an iterator and cannot index it.


def own(variables: Mapping[str, object]) -> "tuple[dict[str, object], int]":
    """Return JSON values as templates may see them, by their folded names, and how long the longest text is.

    `null` is left out: it counts as not given. A whole number of over 64 bits becomes its digits.

    Raises:
        TemplateError: more values or characters than `base.limits` allows, or a value that JSON does not know.
    """
    purse = _Count()
    taken: dict[str, object] = {}
    for name, value in variables.items():
        if value is None:
            continue
        try:
            taken[fold(name)] = value if type(value) is str and purse.text(value) else _own(value, purse, 1)
        except TemplateError as error:
            raise TemplateError(f"{name}: {error.public}", field=name[: limits.VARIABLE_NAME_CHARS_MAX]) from None
        purse.text(name)
    return taken, purse.longest


class _Count:
    """What the variables of one rendering hold, so far."""

    __slots__ = ("chars", "longest", "values")

    def __init__(self) -> None:
        self.chars = self.values = self.longest = 0

    def text(self, text: str) -> bool:
        length = len(text)
        self.chars += length
        self.values += 1
        self.longest = max(self.longest, length)
        if self.chars > limits.VARIABLES_CHARS_MAX:
            raise TemplateError(f"The variables have over {limits.VARIABLES_CHARS_MAX} characters.")
        if self.values > limits.VARIABLES_COUNT_MAX:
            raise TemplateError(f"The variables hold over {limits.VARIABLES_COUNT_MAX} values.")
        return True


def _own(value: object, count: _Count, depth: int) -> object:
    if depth > limits.VARIABLES_DEPTH_COUNT_MAX:
        raise TemplateError(f"Values stand in each other over {limits.VARIABLES_DEPTH_COUNT_MAX} deep.")
    before = count.chars + count.values
    match value:
        case str():
            count.text(value)
            return str(value)
        case None | bool():
            count.text("")
            return "" if value is None else value  # In a list: an empty place.
        case int():
            count.text("")
            return value if -_INT_LIMIT <= value < _INT_LIMIT else _digits(value)
        case float():
            count.text("")
            return value
        case Mapping():
            fields: dict[str, object] = {}
            for key, inner in value.items():
                count.text(str(key))
                if inner is not None:
                    fields[str(key)] = _own(inner, count, depth + 1)
            return Fields(fields, count.chars + count.values - before)
        case list() | tuple():
            inside = [_own(inner, count, depth + 1) for inner in value]
            return Row(inside, count.chars + count.values - before + 1)
        case _:
            raise TemplateError("Values are those of JSON: text, numbers, true, false, null, lists, objects.")


_INT_LIMIT: Final = 2**63  # Beyond, the binding would make a float of it, or show a Python object.


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python's own bound: 4,300 digits.
        raise TemplateError("A number has too many digits.") from None


class Purse:
    """What one rendering has spent, and the functions that spend. One per renderer; `open` before each rendering.

    Text from outside a template is escaped here when the part is HTML, so that `/` stays `/` in links; minijinja's own
    escaping writes it as a reference.
    """

    def __init__(self, *, is_lenient: bool) -> None:
        self.is_lenient: Final = is_lenient
        self.is_html = False
        self._longest = 0  # Characters of the longest value around: what one step of minijinja's own may read.
        self._made = 0
        self._spent = 0

    def open(self, longest: int) -> None:
        """Begin a rendering whose longest variable has so many characters."""
        self._longest = longest
        self._made = self._spent = 0

    def shut(self) -> int:
        """Return how many characters of values were shown."""
        return self._made

    def pay(self, chars: int) -> None:
        """Count work. Raises TemplateError when it is too much."""
        self._spent += chars + 1
        if self._spent > limits.RENDER_WORK_CHARS_MAX:
            raise TemplateBoundError("The template does too much: its loops or filters are over the limit.")

    def tick(self, chars: int, steps: int) -> str:
        """Count a run of a loop's or macro's body: `chars` of its own text, `steps` that read a value."""
        self._make(chars)
        self.pay(chars + steps * (self._longest + 20))
        return ""

    def show(self, value: object) -> object:
        """Count a value that is shown, and return it escaped. minijinja calls it for each."""
        if type(value) is str:
            self._make(len(value))
            return Safe(html.escape(value)) if self.is_html and _SPECIAL.search(value) else NotImplemented
        if isinstance(value, str) and hasattr(value, "__html__"):
            self._make(len(value))
            return NotImplemented
        text = self.text(value)
        self._make(len(text))
        return Safe(html.escape(text)) if self.is_html else text

    def cost(self, steps: int) -> bool:
        """Count what a loop's condition reads; always true."""
        self.pay(steps * (self._longest + 20))
        return True

    def seen(self, value: object) -> object:
        """Return what a macro or a block has made; from now on it counts as a value."""
        if isinstance(value, str):
            self._kept(len(value))
        return value

    def text(self, value: object) -> str:
        """Return a value as a mail shows it."""
        match value:
            case None if self.is_lenient:
                return ""
            case None:
                raise MissingError("A value is used that is not given.")
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case list() | tuple():
                self.pay(len(value))
                return ", ".join(self.text(inner) for inner in value)
            case _:
                text = str(value)
                self.pay(len(text))
                return text

    def escaped(self, value: object) -> str:
        """Return a value as HTML shows it: escaped, unless it is HTML already."""
        text = self.text(value)
        return text if hasattr(value, "__html__") else html.escape(text)

    def kept(self, text: str) -> str:
        """Return a text that a function has made, counted. Raises TemplateError when it is too long."""
        self._kept(len(text))
        return text

    def _kept(self, length: int) -> None:
        if length > limits.VARIABLES_CHARS_MAX:
            raise TemplateBoundError(f"A value is over {limits.VARIABLES_CHARS_MAX} characters.")
        self._longest = max(self._longest, length)
        self.pay(length)

    def _make(self, chars: int) -> None:
        self._made += chars
        if self._made > limits.RENDERED_CHARS_MAX:
            raise TemplateBoundError(f"The template makes over {limits.RENDERED_CHARS_MAX} characters.")


_SPECIAL: Final = re.compile("[&<>\"'/]")  # What minijinja would escape, or we.

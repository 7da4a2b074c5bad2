"""The expressions of a template, written again for minijinja: values, operators, filters, tests, calls. Pure.

The lower half of `mail.translate`, which says why this is done. `Expressions` also knows what a name means where it
stands (a recipient's variable, a loop's, a macro's), and gathers which variables are read and what they look like.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from jinja2 import nodes

from outrider.base.errors import TemplateError
from outrider.mail import filters
from outrider.mail.guard import METHODS, fold

DEPTH_MAX: Final = 60  # Ours: minijinja's parser allows 150, and its compiler calls itself for each.
# minijinja's own that read a value once and make nothing much longer than it.
_FILTERS: Final = re.compile(
    "(?:abs|bool|capitalize|count|d|default|first|float|int|last|length|lower|round|safe|string|title|trim|upper|"
    "urlencode)$"
)
_TESTS: Final = re.compile(
    "(?:boolean|defined|divisibleby|endingwith|eq|equalto|even|false|float|ge|greaterthan|gt|in|integer|iterable|le|"
    "lessthan|lt|mapping|ne|number|odd|sequence|startingwith|string|true|undefined)$"
)
_COMPARISONS: Final = {
    "eq": "==",
    "ne": "!=",
    "gt": ">",
    "gteq": ">=",
    "lt": "<",
    "lteq": "<=",
    "in": "in",
    "notin": "not in",
}
_COUNTED: Final = {nodes.Add: "_g_add", nodes.Mul: "_g_mul", nodes.Pow: "_g_pow"}
_PLAIN_MATHS: Final = {nodes.Sub: "-", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Mod: "%"}
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class Expressions:
    """What is known at one place of a text, and how expressions are written there."""

    def __init__(self) -> None:
        self.reads: Final[set[str]] = set()  # Variables, "user.name" for a field.
        self.optional: Final[set[str]] = set()  # Those that the template asks for, or has a default for.
        self.shapes: Final[set[str]] = set()  # What is read, with "[]" for each of a list.
        self.numbers: Final[set[str]] = set()  # Those of `shapes` that are reckoned with.
        self._scopes: Final[list[set[str]]] = [set()]  # Names that are no recipient's variables.
        self._each: Final[dict[str, str]] = {}  # Of a loop's name, what it goes through.
        self._macros: dict[str, str] = {}  # As called, as written.
        self._modules: dict[str, dict[str, str]] = {}
        self._open: Final[list[str]] = []  # Partials we are in.
        self._depth = 0

    def _refuse(self, node: nodes.Node, what: str) -> TemplateError:
        field = f"partials.{self._open[-1]}" if self._open else ""
        return TemplateError(f"Line {node.lineno}: {what}" if node.lineno else what, field=field)

    @contextlib.contextmanager
    def _deeper(self, node: nodes.Node) -> Iterator[None]:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refuse(node, "tags or expressions stand in each other too deep.")
        yield
        self._depth -= 1

    @contextlib.contextmanager
    def _scope(self, names: Sequence[str] = ()) -> Iterator[None]:
        self._scopes.append(set(names))
        yield
        self._scopes.pop()

    def _is_known(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _target(self, node: nodes.Node) -> str:
        match node:
            case nodes.Name():
                self._scopes[-1].add(node.name)
                return fold(node.name)
            case nodes.Tuple():
                return "(" + ", ".join(self._target(inner) for inner in node.items) + ")"
            case _:
                raise self._refuse(node, "a value can be set to a name only.")

    def _expr(self, node: nodes.Node) -> str:
        with self._deeper(node):
            return self._expression(node)

    def _all(self, found: Sequence[nodes.Node]) -> str:
        return ", ".join(self._expr(node) for node in found)

    def _expression(self, node: nodes.Node) -> str:
        match node:
            case nodes.Const():
                return self._constant(node)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self._path(node)
            case nodes.Filter(node=nodes.Node()):
                return self._filter(node)
            case nodes.Test():
                return self._test(node)
            case nodes.Call():
                return self._call(node)
            case nodes.Compare(ops=[only]):
                return f"({self._expr(node.expr)} {_COMPARISONS[only.op]} {self._expr(only.expr)})"
            case nodes.And() | nodes.Or():
                return f"({self._expr(node.left)} {node.operator} {self._expr(node.right)})"
            case nodes.Not():
                return f"(not {self._expr(node.node)})"
            case nodes.Neg():
                return f"(-{self._expr(node.node)})"
            case nodes.Pos():
                return self._expr(node.node)
            case nodes.CondExpr():
                other = self._expr(node.expr2) if node.expr2 else '""'
                return f"({self._expr(node.expr1)} if {self._expr(node.test)} else {other})"
            case _:
                return self._made(node)

    def _made(self, node: nodes.Node) -> str:
        """Write what makes a new value: arithmetic, concatenation, lists."""
        match node:
            case nodes.Concat():
                return f"_g_cat({self._all(node.nodes)})"
            case nodes.Add() | nodes.Mul() | nodes.Pow():
                self.numbers.update([self._shape(node.left), self._shape(node.right)])
                return f"{_COUNTED[type(node)]}({self._expr(node.left)}, {self._expr(node.right)})"
            case nodes.Sub() | nodes.Div() | nodes.FloorDiv() | nodes.Mod():
                self.numbers.update([self._shape(node.left), self._shape(node.right)])
                return f"({self._expr(node.left)} {_PLAIN_MATHS[type(node)]} {self._expr(node.right)})"
            case nodes.List() | nodes.Tuple():
                return f"_g_row({self._all(node.items)})"
            case nodes.Dict():
                pairs = [inner for pair in node.items for inner in (pair.key, pair.value)]
                return f"_g_fields({self._all(pairs)})"
            case _:
                raise self._refuse(node, f"an expression that mail templates do not have ({type(node).__name__}).")

    def _constant(self, node: nodes.Const) -> str:
        value = node.value
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        if value is None or isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int) and abs(value) < 2**63:
            return str(value)
        if isinstance(value, float) and math.isfinite(value):
            return f"{value:f}" if abs(value) < 1e15 else str(int(value)) + ".0"
        raise self._refuse(node, "a number that is too large.")

    def _path(self, node: nodes.Node) -> str:
        """Write a name with what is taken from it, and remember it as read."""
        root, steps = _steps(node)
        if len(steps) > DEPTH_MAX:
            raise self._refuse(node, "too many steps into a value.")
        if not isinstance(root, nodes.Name):
            text = f"({self._expr(root)})"
        else:
            text = "loop" if root.name == "loop" and self._is_known("loop") else fold(root.name)
            if not self._is_known(root.name):
                self.reads.add(_dotted(root.name, steps))
            self._remember(self._shape(node))
        return text + "".join(self._step(step) for step in steps)

    def _shape(self, node: nodes.Node) -> str:
        """Return where in the variables a value comes from, "" if nowhere that we can tell."""
        while isinstance(node, nodes.Filter) and node.node is not None:
            node = node.node
        root, steps = _steps(node)
        if not isinstance(root, nodes.Name):
            return ""
        if self._is_known(root.name):
            through = self._each.get(root.name, "")
            return _dotted(through, steps) if through else ""
        return _dotted(root.name, steps)

    def _remember(self, shape: str) -> None:
        if shape:
            self.shapes.add(shape)

    def _step(self, step: nodes.Node) -> str:
        if isinstance(step, nodes.Getattr):
            if step.attr.startswith("_"):
                raise self._refuse(step, f"a name that begins with an underscore: {step.attr[:100]!r}.")
            return f".{step.attr}" if _WORD.match(step.attr) else f"[{json.dumps(step.attr, ensure_ascii=False)}]"
        assert isinstance(step, nodes.Getitem)
        if isinstance(step.arg, nodes.Slice):
            cut = (step.arg.start, step.arg.stop, step.arg.step)
            return "[" + ":".join(self._expr(part) if part else "" for part in cut).removesuffix(":") + "]"
        return f"[{self._expr(step.arg)}]"

    def _filter(self, node: nodes.Filter) -> str:
        assert node.node is not None
        if node.dyn_args or node.dyn_kwargs:
            raise self._refuse(node, "arguments by star are not for mail templates.")
        if node.name in ("default", "d"):
            self._forgive(node.node)
        if not _FILTERS.match(node.name) and node.name not in filters.OWN:
            raise self._refuse(node, f"there is no filter {node.name[:100]!r}.")
        name = f"_g_{node.name}" if node.name in filters.OWN else node.name
        arguments = self._arguments(node.args, node.kwargs)
        return f"{self._expr(node.node)}|{name}({arguments})" if arguments else f"{self._expr(node.node)}|{name}"

    def _test(self, node: nodes.Test) -> str:
        if node.name in ("defined", "undefined", "none"):
            self._forgive(node.node)
        name = "undefined" if node.name == "none" else node.name  # `null` counts as not given.
        if not _TESTS.match(name) or node.dyn_args or node.dyn_kwargs or node.kwargs:
            raise self._refuse(node, f"there is no test {node.name[:100]!r}.")
        arguments = self._arguments(node.args, [])
        return f"({self._expr(node.node)} is {name}{f'({arguments})' if arguments else ''})"

    def _forgive(self, node: nodes.Node) -> None:
        """Remember that a recipient may lack this variable: the template asks for it, or has a default."""
        while isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Filter):
            assert node.node is not None
            node = node.node
        if isinstance(node, nodes.Name):
            self.optional.add(node.name)

    def _call(self, node: nodes.Call) -> str:
        if node.dyn_args or node.dyn_kwargs:
            raise self._refuse(node, "arguments by star are not for mail templates.")
        arguments = self._arguments(node.args, node.kwargs)
        match node.node:
            case nodes.Name(name="range") if not self._is_known("range"):
                return f"_g_range({arguments})"
            case nodes.Name(name=name) if name in self._macros:
                return f"_g_seen({self._macros[name]}({arguments}))"
            case nodes.Getattr(node=nodes.Name(name=module), attr=name) if name in self._modules.get(module, {}):
                return f"_g_seen({self._modules[module][name]}({arguments}))"
            case nodes.Getattr(node=nodes.Name(name="loop"), attr="cycle") if self._is_known("loop"):
                return f"loop.cycle({arguments})"
            case nodes.Getattr(node=inner, attr=name) if name in METHODS:
                return f"{self._expr(inner)}.{name}({arguments})"
            case _:
                raise self._refuse(node, "something is called that is no macro defined before it.")

    def _arguments(self, args: Sequence[nodes.Node], kwargs: Sequence[nodes.Node]) -> str:
        written = [self._expr(each) for each in args]
        for each in kwargs:
            assert isinstance(each, nodes.Keyword)
            written.append(f"{fold(each.key)}={self._expr(each.value)}")
        return ", ".join(written)


def _steps(node: nodes.Node) -> tuple[nodes.Node, list[nodes.Node]]:
    """Return what a path such as `a.b[0].c` begins with, and its steps in order."""
    steps: list[nodes.Node] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        steps.append(node)
        node = node.node
    return node, steps[::-1]


def _dotted(name: str, steps: Sequence[nodes.Node]) -> str:
    path = [name]
    for step in steps:
        if not isinstance(step, nodes.Getattr):
            break
        path.append(step.attr)
    return ".".join(path)

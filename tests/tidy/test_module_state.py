"""Two apps can live in one test: a module holds constants, never state (ADR 0010).

A list, dict or set at module or class level is an upper-case `Final`; mypy then sees to it that nobody binds it again,
and its name that nobody thinks of changing it. No `global`. An empty default of a msgspec.Struct's field is fine:
msgspec makes a new one for each record. Escape: `# tidy: module-state REASON`.
"""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.sources import Finding, Module, complaint, dotted, product, refuse, snippet

MUTABLE: Final = ("dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "ChainMap")
LIVE: Final = ("asyncio.Lock", "asyncio.Event", "asyncio.Queue", "asyncio.Semaphore", "threading.Lock", "random.Random")


def bad_state(module: Module) -> list[Finding]:
    found: list[Finding] = []
    for node in statements(module.tree):
        match node:
            case ast.Global():
                text = f"global {', '.join(node.names)}"
            case ast.Assign(value=value) if is_mutable(value) or is_live(value):
                text = ast.unparse(node.targets[0])
                if text in ("__slots__", "__match_args__") or (text.startswith("__") and is_mutable(value)):
                    continue
            case ast.AnnAssign(value=ast.expr() as value, target=target) if is_live(value) or (
                is_mutable(value) and not (is_final(node.annotation) and ast.unparse(target).isupper())
            ):
                text = ast.unparse(target)
            case _:
                continue
        if not module.is_escaped("module-state", node.lineno):
            found.append(Finding(module.path, node.lineno, f"{text}: module state; an object of app.py owns it"))
    return found


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Give the statements that run at import, and every `global`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            is_struct = isinstance(node, ast.ClassDef) and {"msgspec.Struct", "Struct"} & set(map(dotted, node.bases))
            yield from (statement for statement in node.body if not (is_struct and is_empty_default(statement)))
        elif isinstance(node, ast.Global):
            yield node


def is_empty_default(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) and ast.unparse(statement.value or statement.target) in ("{}", "[]")


def is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in MUTABLE


def is_live(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and dotted(value.func) in LIVE


def is_final(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).startswith(("Final", "ClassVar[Mapping", "ClassVar[Sequence"))


def test_modules_hold_no_state() -> None:
    refuse(f for m in product() for f in bad_state(m))


@pytest.mark.parametrize(
    "text",
    [
        "seen = {}",
        "SEEN = []",
        "SEEN: dict[str, int] = {}",
        "seen: Final = set()",
        "_CACHE: dict[str, int] = collections.defaultdict(int)",
        "LOCK: Final = asyncio.Lock()",
        "class A:\n    seen = []",
        "def f():\n    global SEEN",
    ],
)
def test_state_is_seen(text: str) -> None:
    assert len(bad_state(snippet(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "_WAIT_S: Final[Mapping[str, float]] = {'a': 1.0}",
        "KNOWN: Final = frozenset({'a'})",
        "RULES: Final = [1, 2]",
        "NAMES = ('a', 'b')",
        "def f():\n    seen = {}",
        "class A:\n    seen: int",
        "class A(msgspec.Struct):\n    seen: dict[str, int] = {}",
        "seen = {}  # tidy: module-state the plug-in interface wants it",
    ],
)
def test_constants_pass(text: str) -> None:
    assert complaint(bad_state(snippet(text))) == ""

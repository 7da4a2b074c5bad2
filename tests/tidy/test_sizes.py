"""A module is read in one sitting, a function on one screen, and nobody counts to six to call one (STYLE.md)."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Final

import pytest

from tests.tidy.sources import ROOT, Finding, Function, Module, complaint, modules, product, refuse, snippet

MODULE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 60
FUNCTION_PARAMETERS_MAX: Final = 5  # Positional ones, `self` not counted.

Sizes = Mapping[str, int]


def module_lines(sources: Iterable[Module]) -> Sizes:
    return {m.path: len(m.lines) for m in sources}


def function_lines(sources: Iterable[Module]) -> Sizes:
    return {f"{m.path}:{name}": _line_count(node) for m in sources for name, node in m.functions()}


def function_parameters(sources: Iterable[Module]) -> Sizes:
    return {f"{m.path}:{name}": _parameter_count(node) for m in sources for name, node in m.functions()}


def _line_count(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _parameter_count(node: Function) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"], ["mcs"]))


def oversized(sizes: Sizes, size_max: int, ratchet: Sizes) -> list[Finding]:
    """Compare with the limit, or with the ratchet where it knows the name; a slack ratchet is a finding too."""
    found = [
        Finding(name, 0, f"is {size}, the limit is {ratchet.get(name, size_max)}")
        for name, size in sizes.items()
        if size > ratchet.get(name, size_max)
    ]
    for name, allowed in ratchet.items():
        size = sizes.get(name, 0)
        if size <= size_max:
            found.append(Finding(name, 0, "no longer needs its line in ratchet.toml; take it out"))
        elif size < allowed:
            found.append(Finding(name, 0, f"shrank to {size}; lower its number in ratchet.toml"))
    return found


RATCHET: Final = tomllib.loads((ROOT / "tests/tidy/ratchet.toml").read_text("utf-8"))


def test_modules_are_read_in_one_sitting() -> None:
    sizes = module_lines((*product(), *modules("tests", "bench")))
    refuse(oversized(sizes, MODULE_LINES_MAX, RATCHET["module_lines"]))


def test_functions_fit_on_one_screen() -> None:
    sizes = function_lines((*product(), *modules("tests", "bench")))
    refuse(oversized(sizes, FUNCTION_LINES_MAX, RATCHET["function_lines"]))


def test_functions_take_few_positional_parameters() -> None:
    sizes = function_parameters(product())  # In tests, parameters are fixtures.
    refuse(oversized(sizes, FUNCTION_PARAMETERS_MAX, RATCHET["function_parameters"]))


@pytest.mark.parametrize(("lines", "is_bad"), [(600, False), (601, True)])
def test_a_long_module_is_seen(lines: int, is_bad: bool) -> None:
    sizes = module_lines([snippet("x = 1\n" * lines)])
    assert bool(oversized(sizes, MODULE_LINES_MAX, {})) == is_bad


@pytest.mark.parametrize(("lines", "is_bad"), [(59, False), (60, True)])
def test_a_long_method_is_seen(lines: int, is_bad: bool) -> None:
    sizes = function_lines([snippet("class A:\n    async def f(self):\n" + "        x = 1\n" * lines)])
    assert bool(oversized(sizes, FUNCTION_LINES_MAX, {})) == is_bad


@pytest.mark.parametrize(("given", "is_bad"), [("self, a, b, c, d, e, *, f", False), ("a, b, c, /, d, e, f", True)])
def test_many_parameters_are_seen(given: str, is_bad: bool) -> None:
    sizes = function_parameters([snippet(f"def f({given}): ...")])
    assert bool(oversized(sizes, FUNCTION_PARAMETERS_MAX, {})) == is_bad


@pytest.mark.parametrize(
    ("size", "words"),
    [(650, ""), (651, "the limit is 650"), (640, "lower its number"), (600, "take it out"), (None, "take it out")],
)
def test_the_ratchet_only_tightens(size: int | None, words: str) -> None:
    sizes = {} if size is None else {"a.py": size}
    found = complaint(oversized(sizes, 600, {"a.py": 650}))
    assert words in found
    assert bool(found) == bool(words)

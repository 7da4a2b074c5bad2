"""After reading a module's docstring you can use the module; what another module calls keeps its promise in words.

ruff's D rules ask for a docstring on public modules, classes and functions. This adds: the docstring of a module over
60 lines is a manual page of 3 to 25 lines, and a method that another module calls by name has a docstring, its own or
that of the base class or Protocol that it fulfils. Escape: `# tidy: docstrings REASON`.
"""

import ast
from collections.abc import Iterable, Sequence
from typing import Final

from tests.tidy.sources import Finding, Function, Module, product, refuse, snippet

SMALL_LINES_MAX: Final = 60
PAGE_LINES_MIN: Final = 3
PAGE_LINES_MAX: Final = 25


def bad_pages(module: Module) -> list[Finding]:
    page = ast.get_docstring(module.tree) or ""
    count = len(page.splitlines())
    if count > PAGE_LINES_MAX and module.stem != "errors":  # The error tree is its page (STYLE.md).
        return [Finding(module.path, 1, f"its manual page has {count} lines; over {PAGE_LINES_MAX} nobody reads it")]
    if count < PAGE_LINES_MIN and len(module.lines) > SMALL_LINES_MAX:
        return [Finding(module.path, 1, "write its manual page: what for, what not, invariants, failure policy")]
    return []


def silent_methods(sources: Sequence[Module]) -> list[Finding]:
    """Find public methods without a word that some other module calls."""
    called = {module.path: calls_of(module) for module in sources}
    promised = {method.name for m in sources for _, method in methods(m) if ast.get_docstring(method)}
    return [
        Finding(module.path, method.lineno, f"{owner.name}.{method.name} is called elsewhere and promises nothing")
        for module in sources
        for owner, method in methods(module)
        if not method.name.startswith("_")
        and not owner.name.startswith("_")
        and not ast.get_docstring(method)
        and not (owner.bases and method.name in promised)
        and not _is_setter(method)
        and any(method.name in names for path, names in called.items() if path != module.path)
        and not module.is_escaped("docstrings", method.lineno)
    ]


def methods(module: Module) -> Iterable[tuple[ast.ClassDef, Function]]:
    for owner in ast.walk(module.tree):
        if isinstance(owner, ast.ClassDef):
            yield from ((owner, method) for method in owner.body if isinstance(method, Function))


def calls_of(module: Module) -> set[str]:
    return {n.func.attr for n in ast.walk(module.tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}


def _is_setter(method: Function) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in method.decorator_list)


def test_every_module_has_its_manual_page() -> None:
    refuse(f for m in product() for f in bad_pages(m))


def test_what_others_call_promises_something() -> None:
    refuse(silent_methods(product()))


def test_a_missing_page_is_seen() -> None:
    code = "x = 1\n" * SMALL_LINES_MAX
    assert len(bad_pages(snippet(f'"""Short."""\n{code}'))) == 1
    assert bad_pages(snippet(f'"""Short.\n\nBut it says all.\n"""\n{code}')) == []
    assert bad_pages(snippet('"""Short."""\nx = 1\n')) == []
    assert len(bad_pages(snippet('"""Long.\n' + "line\n" * 25 + '"""\n'))) == 1


def test_a_silent_method_is_seen() -> None:
    silent = snippet(
        "class Pump:\n    def push(self): ...\n    def pull(self):\n        '''Pull.'''\n", "src/outrider/a.py"
    )
    caller = snippet("pump.push()\npump.pull()\n", "src/outrider/b.py")
    (found,) = silent_methods([silent, caller])
    assert "Pump.push" in found.text
    assert silent_methods([silent]) == []


def test_a_contract_speaks_for_those_who_fulfil_it() -> None:
    contract = snippet("class Pushes(Protocol):\n    def push(self):\n        '''Push.'''\n", "src/outrider/c.py")
    silent = snippet("class Pump(Pushes):\n    def push(self): ...\n", "src/outrider/a.py")
    caller = snippet("pump.push()\n", "src/outrider/b.py")
    assert silent_methods([contract, silent, caller]) == []

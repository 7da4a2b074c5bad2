"""Async begins above the ground: wire, mail and policy take values and return values (ADR 0011).

`base` may name what is awaited in a contract (`Clock.sleep`), nothing more. Escape: `# tidy: async-floor REASON`.
"""

import ast
from typing import Final

import pytest

from tests.tidy.sources import Finding, Module, product, refuse, snippet

GROUND: Final = ("base", "wire", "mail", "policy")
Asynchronous = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith


def bad_async(module: Module) -> list[Finding]:
    if module.floor not in GROUND:
        return []
    contracts = {
        id(method)
        for owner in ast.walk(module.tree)
        if isinstance(owner, ast.ClassDef) and "Protocol" in map(ast.unparse, owner.bases) and module.floor == "base"
        for method in owner.body
    }
    return [
        Finding(module.path, node.lineno, "the ground is not async: take bytes and values, return bytes and values")
        for node in ast.walk(module.tree)
        if isinstance(node, Asynchronous)
        and id(node) not in contracts
        and not module.is_escaped("async-floor", node.lineno)
    ]


def test_the_ground_is_not_async() -> None:
    refuse(f for m in product() for f in bad_async(m))


@pytest.mark.parametrize(
    ("path", "text", "is_bad"),
    [
        ("wire/a", "async def f(): ...", True),
        ("base/a", "async def f(): ...", True),
        ("base/a", "class Clock(Protocol):\n    async def sleep(self): ...", False),
        ("policy/a", "class Clock(Protocol):\n    async def sleep(self): ...", True),
        ("net/a", "async def f(): ...", False),
    ],
)
def test_async_on_the_ground_is_seen(path: str, text: str, is_bad: bool) -> None:
    assert bool(bad_async(snippet(text, f"src/outrider/{path}.py"))) == is_bad

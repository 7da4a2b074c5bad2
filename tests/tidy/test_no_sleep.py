"""A test waits for what it waits for, with a deadline; sleeping makes it slow on a good day and red on a bad one.

`asyncio.sleep(0)`, which only gives the others their turn, and a fake clock's sleep are fine.
Escape: `# tidy: no-sleep REASON`.
"""

import ast
from typing import Final

import pytest

from tests.tidy.sources import Finding, Module, dotted, modules, refuse, snippet

SLEEPS: Final = ("time.sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep")


def sleeps(module: Module) -> list[Finding]:
    return [
        Finding(module.path, node.lineno, "wait for a signal with a deadline, do not sleep")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and full_name(module, node.func) in SLEEPS
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        and not module.is_escaped("no-sleep", node.lineno)
    ]


def full_name(module: Module, node: ast.expr) -> str:
    name = dotted(node)
    root, dot, rest = name.partition(".")
    return module.imports.get(root, root) + dot + rest


def test_no_test_sleeps() -> None:
    refuse(f for m in modules("tests") for f in sleeps(m))


@pytest.mark.parametrize(
    ("text", "is_bad"),
    [
        ("import time\ntime.sleep(1)", True),
        ("import time as t\nt.sleep(0.01)", True),
        ("from asyncio import sleep\nasync def f():\n    await sleep(1)", True),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)", False),
        ("async def f(clock):\n    await clock.sleep(60)", False),
        ("import time\ntime.sleep(1)  # tidy: no-sleep the clock of the kernel is under test", False),
    ],
)
def test_a_sleep_is_seen(text: str, is_bad: bool) -> None:
    assert bool(sleeps(snippet(text, "tests/unit/test_sample.py"))) == is_bad

"""No network inside a transaction: read, leave, talk, come back, settle (ADR 0008).

Inside `async with store.transaction() as tx`, and in every function that is given a `tx`, only these may be awaited:
methods of `tx`, functions of `outrider.store`, and functions that are handed the `tx` (they are checked in their turn).
Transactions are opened in `engine` and `services`, and by the machinery of `store` itself.
Escapes: `# tidy: tx-awaits REASON`, `# tidy: tx-open REASON`.
"""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.sources import Finding, Function, Module, complaint, product, refuse, root_name, snippet

OPENERS: Final = ("engine", "services", "testing")
STORE_OPENERS: Final = (
    "outrider.store.pool",
    "outrider.store.batch",
    "outrider.store.migrate",
    "outrider.store.embedded",
)

Awaiting = ast.Await | ast.AsyncFor | ast.AsyncWith | ast.comprehension


def bad_awaits(module: Module) -> list[Finding]:
    found = {
        (awaiting.lineno if not isinstance(awaiting, ast.comprehension) else awaiting.iter.lineno, ast.unparse(what))
        for body, tx in transactions(module)
        for awaiting, what in awaits(body)
        if not is_allowed(module, what, tx)
    }
    return [
        Finding(module.path, line, f"inside a transaction only the store may be awaited, not {text}")
        for line, text in sorted(found)
        if not module.is_escaped("tx-awaits", line)
    ]


def bad_openings(module: Module) -> list[Finding]:
    if module.floor in OPENERS or module.name in STORE_OPENERS:
        return []
    return [
        Finding(module.path, node.lineno, "transactions are opened in engine and services only")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncWith) and opened(node) and not module.is_escaped("tx-open", node.lineno)
    ]


def transactions(module: Module) -> Iterator[tuple[list[ast.stmt], str]]:
    """Give each stretch of code that runs inside a transaction, with the name of its `tx`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncWith):
            yield from ((node.body, tx) for tx in opened(node))
        elif isinstance(node, Function):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if "tx" in names:
                yield node.body, "tx"


def opened(node: ast.AsyncWith) -> list[str]:
    """Return the names of the transactions that the statement opens; "" for one without a name."""
    return [
        clause.optional_vars.id if isinstance(clause.optional_vars, ast.Name) else ""
        for clause in node.items
        if isinstance(clause.context_expr, ast.Call)
        and isinstance(clause.context_expr.func, ast.Attribute)
        and clause.context_expr.func.attr == "transaction"
    ]


def awaits(body: list[ast.stmt]) -> Iterator[tuple[Awaiting, ast.expr]]:
    """Give each expression that is awaited in these statements, functions defined in them left out."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, Function | ast.Lambda):
            continue
        match node:
            case ast.Await():
                yield node, node.value
            case ast.AsyncFor():
                yield node, node.iter
            case ast.comprehension(is_async=1):
                yield node, node.iter
            case ast.AsyncWith():
                yield from ((node, clause.context_expr) for clause in node.items)
            case _:
                pass
        stack.extend(ast.iter_child_nodes(node))


def is_allowed(module: Module, what: ast.expr, tx: str) -> bool:
    if not isinstance(what, ast.Call):
        return False
    root = root_name(what.func)
    if root == tx != "":
        return True
    if module.imports.get(root, "").startswith("outrider.store."):
        return True
    given = [*what.args, *(keyword.value for keyword in what.keywords)]
    return any(isinstance(argument, ast.Name) and argument.id == tx for argument in given)


def test_nothing_but_the_store_is_awaited_inside_a_transaction() -> None:
    refuse(f for m in product() for f in bad_awaits(m))


def test_transactions_are_opened_where_they_may_be() -> None:
    refuse(f for m in product() for f in bad_openings(m))


HEAD: Final = (
    "from outrider.store import queue\nasync def f(store, http):\n    async with store.transaction() as tx:\n        "
)


@pytest.mark.parametrize(
    "line",
    [
        "await http.post('/')",
        "await self._clock.sleep(1.0)",
        "await asyncio.gather(queue.finish(tx), queue.finish(tx))",
        "await future",
        "async for line in http.lines(): pass",
        "async with asyncio.timeout(1): pass",
        "x = [line async for line in http.lines()]",
        "if await http.ok(): pass",
    ],
)
def test_a_foreign_await_is_seen(line: str) -> None:
    assert len(bad_awaits(snippet(HEAD + line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "await tx.execute('')",
        "await queue.finish(tx, [])",
        "async for row in tx.cursor(''): pass",
        "await _write(tx, [])",
        "await http.post('/')  # tidy: tx-awaits the fake peer of a test",
        "pass\n    await http.post('/')",
    ],
)
def test_the_store_may_be_awaited(line: str) -> None:
    assert complaint(bad_awaits(snippet(HEAD + line))) == ""


def test_a_function_that_is_given_the_transaction_is_checked_too() -> None:
    assert len(bad_awaits(snippet("async def write(tx, http):\n    await http.post('/')\n"))) == 1
    assert bad_awaits(snippet("async def talk(http):\n    await http.post('/')\n")) == []


@pytest.mark.parametrize(("path", "is_bad"), [("faces/api/a", True), ("store/queue", True), ("engine/a", False)])
def test_an_opening_in_the_wrong_place_is_seen(path: str, is_bad: bool) -> None:
    module = snippet("async def f(store):\n    async with store.transaction(): ...\n", f"src/outrider/{path}.py")
    assert bool(bad_openings(module)) == is_bad

"""A source file tells you where its test is, and a test whose source is gone goes too.

src/outrider/wire/reply.py has tests/unit/wire/test_reply.py. Other homes: store/lanes.py has tests/store/test_lanes.py;
engine/accept.py and its like, which need the real database, have tests/store/test_engine_accept.py; faces and commands
may be tested from outside in tests/e2e. Aspects may have files of their own: test_reply_fuzz.py. A package's
`__init__.py` holds a docstring and nothing else, so it needs no test: a map, on which every module of the package is,
in backticks or at the beginning of a line.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Final

from tests.tidy.sources import ROOT, Finding, Module, product, refuse, snippet

# Declarations: what could a test say that the declaration does not? Each with its reason.
NO_TEST_OF_ITS_OWN: Final = {
    "outrider.app": "wires the others; every test in tests/e2e runs it",
    "outrider.roles.deliver": "wires the others; every test in tests/e2e runs it",
    "outrider.roles.smtp": "wires the others; every test in tests/e2e runs it",
    "outrider.roles.web": "wires the others; every test in tests/e2e runs it",
    "outrider.roles.worker": "wires the others; every test in tests/e2e runs it",
    "outrider.base.vocab": "words; tests/docs/test_frozen_words.py holds them",
    "outrider.client.steps": "records only",
    "outrider.engine.books": "contracts and records only",
    "outrider.engine.submission": "records only",
    "outrider.store.schema.env": "alembic runs it; tests/store/test_migrate.py runs alembic",
}
DECLARATIONS: Final = {
    "settings": "bounds and defaults; tests/docs/test_settings.py and tests/unit/test_config.py read them",
}
# Packages that others' programs import: a map, imports of what they give out, its names. Each with the reason.
PUBLIC: Final = {"outrider.client": "ADR 0034"}
# Packages whose map is a rule that finds each module. Each with the rule.
MAPPED_BY_RULE: Final = {
    "outrider.cli": "one module per noun",
    "outrider.store.schema": "alembic migrations",
    "outrider.store.schema.versions": "One file a step",
}


def homes(module: Module) -> list[str]:
    """Return the places where the module's test may live, without the `.py`."""
    folder, _, stem = module.path.removeprefix("src/outrider/").removesuffix(".py").rpartition("/")
    places = [f"tests/unit/{folder}/test_{stem}".replace("//", "/")]
    match module.floor:
        case "store":
            places.insert(0, f"tests/store/test_{stem}")
        case "engine" | "services":
            places.append(f"tests/store/test_{module.floor}_{stem}")
        case "faces":
            places.append(f"tests/e2e/test_{stem}")
        case "cli":
            places += [f"tests/e2e/test_{stem}", "tests/e2e/test_cli"]
        case _:
            pass
    return places


def untested(sources: Iterable[Module], tests: Sequence[str]) -> list[Finding]:
    return [
        Finding(module.path, 1, f"has no test; write {homes(module)[0]}.py")
        for module in sources
        if not is_excused(module) and not has_test(module, tests)
    ]


def has_test(module: Module, tests: Iterable[str]) -> bool:
    known = [path.removesuffix(".py") for path in tests]
    return any(path == home or path.startswith(f"{home}_") for path in known for home in homes(module))


def stale(excuses: Iterable[str], sources: Iterable[Module], tests: Sequence[str]) -> set[str]:
    """Return the excuses whose module is gone, or has a test."""
    modules = {module.name: module for module in sources}
    return {name for name in excuses if name not in modules or has_test(modules[name], tests)}


def is_excused(module: Module) -> bool:
    return (
        module.stem == "__init__"
        or module.name in NO_TEST_OF_ITS_OWN
        or module.stem in DECLARATIONS
        or module.floor == "testing"  # Doubles: the tests that use them would fail. Their own suites are welcome.
        or ".schema.versions." in module.name  # tests/store/test_migrate.py runs every step.
    )


def orphans(tests: Iterable[str], sources: Iterable[Module]) -> list[Finding]:
    homes_known = [home for module in sources for home in homes(module)]
    return [
        Finding(path, 1, "tests a module that does not exist")
        for path in tests
        if path.startswith("tests/unit/")
        and not any(path.removesuffix(".py") == h or path.startswith(f"{h}_") for h in homes_known)
    ]


def test_files() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))


test_files.__test__ = False  # type: ignore[attr-defined]


def test_every_module_has_its_test() -> None:
    refuse(untested(product(), test_files()))


def test_every_unit_test_has_its_module() -> None:
    refuse(orphans(test_files(), product()))


def test_every_excuse_is_still_needed() -> None:
    assert stale(NO_TEST_OF_ITS_OWN, product(), test_files()) == set()


def test_packages_hold_a_map_and_nothing_else() -> None:
    found = [Finding(m.path, 1, "an __init__.py is a docstring and nothing else") for m in product() if is_crowded(m)]
    refuse(found)


def is_crowded(module: Module) -> bool:
    body = module.tree.body
    if module.name in PUBLIC:  # ... and imports of its own modules, and the list of what they give out.
        body = [node for node in body if not is_given_out(module, node)]
    is_map = len(body) == 1 and isinstance(body[0], ast.Expr) and ast.get_docstring(module.tree) is not None
    return module.stem == "__init__" and not is_map


def is_given_out(module: Module, node: ast.stmt) -> bool:
    match node:
        case ast.ImportFrom(module=str(origin)):
            return origin.startswith(f"{module.name}.")
        case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List()):
            return True
        case _:
            return False


def test_a_public_package_only_imports_and_names() -> None:
    good = '"""Map."""\nfrom outrider.client.core import Core\n__all__ = ["Core"]\n'
    for text, path, is_bad in (
        (good, "client", False),
        (good, "wire", True),
        (good + "x = 1\n", "client", True),
        (good + "from outrider.base import limits\n", "client", True),
    ):
        assert is_crowded(snippet(text, f"src/outrider/{path}/__init__.py")) == is_bad, (text, path)


def test_every_module_is_on_the_map_of_its_package() -> None:
    refuse(unmapped(product()))


def unmapped(sources: Iterable[Module]) -> list[Finding]:
    """Find modules and packages that the map of their package leaves out."""
    known = list(sources)
    maps = {module.name: ast.get_docstring(module.tree) or "" for module in known if module.stem == "__init__"}
    found: list[Finding] = []
    for module in known:
        package, _, name = module.name.rpartition(".")
        if package in maps and package not in MAPPED_BY_RULE and name != "__main__":
            is_mapped = re.search(rf"`{name}/?`|^{name}/?  ", maps[package], re.MULTILINE)
            found += [] if is_mapped else [Finding(module.path, 1, f"is not on the map of {package}: its docstring")]
    return found


def test_a_rule_that_maps_a_package_is_in_its_docstring() -> None:
    maps = {module.name: ast.get_docstring(module.tree) or "" for module in product() if module.stem == "__init__"}
    assert {name for name, rule in MAPPED_BY_RULE.items() if rule not in maps[name]} == set()


def test_a_module_off_the_map_is_seen() -> None:
    package = snippet('"""Bytes: `reply` is read.\n\ntalk  what was said\n"""\n', "src/outrider/wire/__init__.py")
    for name, is_on in (("reply", True), ("talk", True), ("read", False), ("said", False)):
        assert bool(unmapped([package, snippet("", f"src/outrider/wire/{name}.py")])) != is_on, name


def test_a_missing_test_is_seen() -> None:
    reply = snippet("", "src/outrider/wire/reply.py")
    lanes = snippet("", "src/outrider/store/lanes.py")
    config = snippet("", "src/outrider/config.py")
    assert len(untested([reply, lanes, config], ["tests/unit/wire/test_classify_replies.py"])) == 3
    there = ["tests/unit/wire/test_reply_fuzz.py", "tests/store/test_lanes.py", "tests/unit/test_config.py"]
    assert untested([reply, lanes, config], there) == []


def test_an_orphan_is_seen() -> None:
    reply = snippet("", "src/outrider/wire/reply.py")
    assert len(orphans(["tests/unit/wire/test_replay.py"], [reply])) == 1
    assert orphans(["tests/unit/wire/test_reply.py", "tests/faults/test_dns_servfail.py"], [reply]) == []


def test_a_crowded_package_is_seen() -> None:
    assert is_crowded(snippet('"""Map."""\nfrom outrider.base import ids\n', "src/outrider/base/__init__.py"))
    assert not is_crowded(snippet('"""Map."""\n', "src/outrider/base/__init__.py"))


def test_a_stale_excuse_is_seen() -> None:
    reply, lanes = snippet("", "src/outrider/wire/reply.py"), snippet("", "src/outrider/store/lanes.py")
    excuses = ["outrider.wire.reply", "outrider.store.lanes", "outrider.wire.gone"]
    assert stale(excuses, [reply, lanes], ["tests/store/test_lanes.py"]) == {
        "outrider.store.lanes",
        "outrider.wire.gone",
    }

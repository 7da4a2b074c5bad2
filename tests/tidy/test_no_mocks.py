"""Fakes, not mocks: a fake keeps the promises of the real thing, a mock repeats the test's own belief (STYLE.md).

`unittest.mock` may be used in tests/unit/cli alone. (ruff's banned-api covers src; this covers the tests.)
"""

import pytest

from tests.tidy.sources import Finding, Module, modules, refuse, snippet


def mocks(module: Module) -> list[Finding]:
    if module.path.startswith("tests/unit/cli/"):
        return []
    is_mocking = any(name.startswith("unittest.mock") for name in (*module.imports.values(), *module.imports))
    return [Finding(module.path, 1, "a mock; write a fake in outrider.testing")] if is_mocking else []


def test_no_test_mocks() -> None:
    refuse(f for m in modules("tests") for f in mocks(m))


@pytest.mark.parametrize(
    ("path", "text", "is_bad"),
    [
        ("tests/unit/net/test_a.py", "from unittest.mock import patch", True),
        ("tests/unit/net/test_a.py", "from unittest import mock", True),
        ("tests/unit/net/test_a.py", "import unittest.mock as m", True),
        ("tests/unit/cli/test_a.py", "from unittest.mock import patch", False),
        ("tests/unit/net/test_a.py", "from outrider.testing import clock", False),
    ],
)
def test_a_mock_is_seen(path: str, text: str, is_bad: bool) -> None:
    assert bool(mocks(snippet(text, path))) == is_bad

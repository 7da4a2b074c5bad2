"""Names say what a thing is. Some words never do; unfinished business has an issue; a banner is a file to be cut.

Only names that we define count: modules, functions, classes, parameters, variables, fields. Names that a library or a
customer's contract imposes do not: methods of classes with a foreign base, fields in PascalCase, keyword arguments.
Escape: `# tidy: words REASON`.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.tidy.sources import Finding, Function, Module, complaint, modules, product, refuse, root_name, snippet

# fmt: off
BANNED: Final = frozenset({
    "email", "job", "task", "item", "obj", "data", "info", "manager", "helper", "util", "utils", "common", "handler",
    "process", "do", "misc", "tmp", "flag",
})
# fmt: on
# Terms of a standard, an operating system or our own command line: there the word is exact.
TERMS: Final = (
    ("smtp_data", "the SMTP command DATA, RFC 5321 §4.1.1.4"),
    ("data_dir", "the setting OUTRIDER_DATA_DIR"),
    ("data_path", "the same, as a path"),
    ("common_name", "X.509"),
    ("exc_info", "logging's and structlog's name"),
    ("email_validator", "the library"),
)
DIALECTS: Final = "/dialects/"  # There `email` is the other side's word.
OUR_BASES: Final = ("msgspec", "enum", "typing", "abc", "collections", "outrider", "Exception", "object")
BYTES_FLOORS: Final = ("wire", "net", "mail", "testing")  # Bytes off the wire have no better name than `data`.
PROCESS_FLOORS: Final = ("cli", "testing")  # They start and watch those of the operating system.
BYTES_TYPES: Final = ("bytes", "bytearray", "memoryview", "Buffer")

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_UNFINISHED: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
_BANNER: Final = re.compile(r"#\s*([-=#*~_+])\1{2,}")


class Name(NamedTuple):
    """A name we gave."""

    text: str
    kind: str  # "module", "function", "class", "parameter", "variable" or "field".
    line: int
    annotation: str = ""


def names(module: Module) -> Iterator[Name]:
    """Give every name the module defines, those that others impose left out."""
    yield Name(module.stem, "module", 1)
    yield from _names(module, module.tree, is_class=False)


def _names(module: Module, node: ast.AST, *, is_class: bool) -> Iterator[Name]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef() if not is_ours(module, child):
                yield Name(child.name, "class", child.lineno)
                for function in (n for n in child.body if isinstance(n, Function)):
                    for statement in function.body:
                        yield from _names(module, statement, is_class=False)
                continue
            case ast.ClassDef():
                yield Name(child.name, "class", child.lineno)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield Name(child.name, "function", child.lineno)
            case ast.arg():
                yield Name(child.arg, "parameter", child.lineno, _text(child.annotation))
            case ast.AnnAssign(target=ast.Name(id=text)) if is_class:
                yield Name(text, "field", child.lineno, _text(child.annotation))
                continue
            case _:
                if variable := _variable(child):
                    yield Name(variable, "variable", getattr(child, "lineno", 1))
        yield from _names(module, child, is_class=isinstance(child, ast.ClassDef))


def _variable(node: ast.AST) -> str:
    """Return the variable, attribute of `self` or alias that the node binds, "" if none."""
    match node:
        case ast.Name(id=text, ctx=ast.Store()) | ast.ExceptHandler(name=str(text)) | ast.alias(asname=str(text)):
            return text
        case ast.Attribute(attr=text, ctx=ast.Store()) if root_name(node) == "self":
            return text
        case _:
            return ""


def is_ours(module: Module, node: ast.ClassDef) -> bool:
    """Tell whether nobody but us chose the names of the class's methods."""
    for base in node.bases:
        name = root_name(base.value if isinstance(base, ast.Subscript) else base)
        origin = module.imports.get(name, name).partition(".")[0]
        is_local = any(isinstance(n, ast.ClassDef) and n.name == name for n in module.tree.body)
        if not is_local and origin not in OUR_BASES and not origin.endswith("Error"):
            return False
    return True


def _text(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def banned_word(module: Module, name: Name) -> str:
    """Return the word of the name that says nothing, "" if all of them speak."""
    text = name.text
    if name.kind == "field" and text[:1].isupper():
        return ""  # PascalCase: the customers' contract.
    for term, _ in TERMS:
        text = text.replace(term, "term")
    words: list[str] = [word for word in _WORD.findall(text) if word != "DATA"]  # In capitals it is the SMTP command.
    for at, word in enumerate(word.lower() for word in words):
        if word not in BANNED:
            continue
        if word == "email" and DIALECTS in module.path:
            continue
        if word == "data" and (module.floor in BYTES_FLOORS or name.annotation.startswith(BYTES_TYPES)):
            continue
        is_verb = name.kind == "function" and at == 0
        if word == "process" and not is_verb and (len(words) > 1 or module.floor in PROCESS_FLOORS):
            continue  # One of the operating system's. As a verb, or alone elsewhere, it says nothing.
        return word
    return ""


def bad_names(module: Module) -> list[Finding]:
    return [
        Finding(module.path, name.line, f"{name.kind} {name.text!r}: {word!r} says nothing (STYLE.md, Names)")
        for name in names(module)
        if (word := banned_word(module, name)) and not module.is_escaped("words", name.line)
    ]


def bad_comments(module: Module) -> list[Finding]:
    found: list[Finding] = []
    for line, comment in module.comments():
        if _UNFINISHED.search(comment):
            found.append(Finding(module.path, line, "unfinished business without an issue: write TODO(#12)"))
        if _BANNER.search(comment):
            found.append(Finding(module.path, line, "a banner: cut the file here instead"))
    return found


def test_names_speak() -> None:
    refuse(f for m in (*product(), *modules("bench")) for f in bad_names(m))


def test_comments_are_finished_and_modest() -> None:
    refuse(f for m in (*product(), *modules("tests", "bench")) for f in bad_comments(m))


@pytest.mark.parametrize(
    "text",
    [
        "def send_email(): ...",
        "def f(item): ...",
        "def f(data: str): ...",
        "class QueueManager: ...",
        "class A:\n    data: str",
        "class A(msgspec.Struct):\n    def f(self, info): ...",
        "def process_reply(): ...",
        "tmp = 1",
        "for job in (): ...",
        "x = [obj for obj in ()]",
        "with f() as handler: ...",
        "import q as helper",
        "class A:\n    def __init__(self):\n        self._flag = 1",
        "class A(asyncio.Protocol):\n    def data_received(self, data):\n        info = data",
    ],
)
def test_an_empty_word_is_seen(text: str) -> None:
    assert len(bad_names(snippet(f"import asyncio\nimport msgspec\n{text}\n"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "async with asyncio.TaskGroup() as tasks: ...",
        "class A(asyncio.Protocol):\n    def data_received(self, data): ...",
        "def feed(data: bytes): ...",
        "DATA_START_WAIT_S = 1",
        "class State(enum.Enum):\n    DATA = 1",
        "class Request(msgspec.Struct):\n    SendEmail: str",
        "log(exc_info=True, data=1)",
        "worker_process_count = 2",
        "emails = informed = database = handlers_of = 1",
        "def send_email(): ...  # tidy: words uSpeedo's action is called so",
    ],
)
def test_an_imposed_or_exact_word_passes(text: str) -> None:
    assert complaint(bad_names(snippet(f"import asyncio\nimport enum\nimport msgspec\n{text}\n"))) == ""


def test_a_module_of_helpers_is_seen() -> None:
    assert bad_names(snippet("", path="src/outrider/mail/utils.py"))
    assert not bad_names(snippet("", path="src/outrider/wire/smtp_data.py"))


def test_a_dialect_speaks_its_own_words() -> None:
    module = snippet("def send_email(email): ...\n", path="src/outrider/faces/api/dialects/sample.py")
    assert not bad_names(module)


@pytest.mark.parametrize(
    ("comment", "count"),
    [
        ("# TODO later", 1),
        ("# FIXME", 1),
        ("# TODO(#12): IPv6 first.", 0),
        ("# ------ Queue ------", 1),
        ("######", 1),
        ("# -- Queue.", 0),
        ("'# TODO in a string'", 0),
    ],
)
def test_unfinished_business_and_banners_are_seen(comment: str, count: int) -> None:
    assert len(bad_comments(snippet(f"{comment}\n"))) == count

"""What the rule files of this folder have in common: how they are read and how their patterns are compiled.

A rule file is TOML with a [[rule]] table for each rule (`rules.toml`, `shaping.toml`). A rule has an id of its own and
a pattern that is searched in "CODE ENHANCED TEXT" (`classify.line_of`), case ignored. Nothing in a file is passed over:
an unknown key, an id used twice or a broken pattern is a `ConfigError` that says where.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar, get_args

import msgspec

from outrider.base.errors import ConfigError

_CAPITAL: Final = re.compile(r"\\.|[A-Z]")  # An escape keeps its case: \S is not \s.
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|\(\?(?:[:=!]|<[=!])|.", re.DOTALL)
_OPTIONAL: Final = re.compile(r"[*?]|\{0?,|\{0\}")
_REPEATED: Final = re.compile(r"[*?+]|\{\d")
_NO_LITERAL: Final = frozenset(".^$*?+()")
_PIECE_CHARS: Final = 3  # Ours: a refusal has about a hundred such pieces, our needles begin with some 400.
_File = TypeVar("_File", bound=msgspec.Struct)


class Patterned(Protocol):
    """What is asked of a rule here."""

    @property
    def id(self) -> str:
        """Its name, unique in its file."""

    @property
    def pattern(self) -> str:
        """A regular expression."""


def read_toml(text: str, kind: type[_File], title: str) -> _File:
    """Read a file's text as that record; `title` names the file to the operator.

    Raises:
        ConfigError: not TOML, an unknown or missing key, a value out of bounds; it says which, of which rule.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{title} cannot be read: {error}") from error
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{title} cannot be read: {_fault(tree, kind) or error}") from error


def _fault(tree: Mapping[str, object], kind: type[msgspec.Struct]) -> str:
    """Say which table is wrong, by its name or number, which msgspec leaves out; "" if it is none of them."""
    for field in msgspec.structs.fields(kind):
        tables = tree.get(field.name)
        if not isinstance(tables, list):
            continue
        for number, table in enumerate(tables, 1):
            try:
                msgspec.convert(table, get_args(field.type)[0])
            except msgspec.ValidationError as error:
                name = table.get("id", table.get("name")) if isinstance(table, dict) else None
                return f"{field.name} {name or f'number {number}'}: {error}"
    return ""


def check_rules(rules: Iterable[Patterned]) -> None:
    """Refuse an id used twice and a pattern that does not compile.

    Raises:
        ConfigError: names the rule.
    """
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ConfigError(f"Two rules are called {rule.id}.")
        seen.add(rule.id)
        try:
            compile_pattern(rule.pattern)
        except re.error as error:
            raise ConfigError(f"The pattern of rule {rule.id} is broken: {error}.") from error


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile for a lower-case line: 200 -> 90 us a refusal against IGNORECASE, which has no fast search (2026-11).

    Raises:
        re.error: it is broken.
    """
    return re.compile(_CAPITAL.sub(lambda found: found[0] if found[0][0] == "\\" else found[0].lower(), pattern))


def needles_of(pattern: str) -> frozenset[str]:
    """Return texts of which a line must have at least one for the pattern to be found; empty: no line can be ruled out.

    To look for a text in a line costs a fiftieth of a search, and most rules have nothing to do with most replies.
    """
    return _needed(_TOKEN.findall(pattern.lower()))


class Needles:
    """Texts to be looked for together. Immutable."""

    def __init__(self, needles: Iterable[str]) -> None:
        self._by_piece: Final[dict[str, list[str]]] = {}
        for needle in sorted(set(needles)):
            self._by_piece.setdefault(needle[:_PIECE_CHARS], []).append(needle)
        self._short: Final = [piece for piece in self._by_piece if len(piece) < _PIECE_CHARS]

    def found_in(self, line: str) -> set[str]:
        """Return those that the line has.

        Cost: by the length of the line, not by their number: 43 -> 11 us for a thousand in 60 characters (2026-11).
        """
        pieces = {line[at : at + _PIECE_CHARS] for at in range(len(line) - _PIECE_CHARS + 1)} & self._by_piece.keys()
        pieces.update(self._short)
        return {needle for piece in pieces for needle in self._by_piece[piece] if needle in line}


def _needed(tokens: Sequence[str]) -> frozenset[str]:
    branches: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += token.startswith("(") - token.startswith(")")
        if depth == 0 and token == "|":  # noqa: S105 - a token of a pattern, not a password.
            branches.append([])
        else:
            branches[-1].append(token)
    found = [_needed_in_branch(branch) for branch in branches]
    return frozenset().union(*found) if all(found) else frozenset()


def _needed_in_branch(tokens: Sequence[str]) -> frozenset[str]:
    """Return the best of what a branch without alternatives asks for: its longest text, or those of a group in it."""
    choices: list[frozenset[str]] = []
    run, at = "", 0
    while at < len(tokens):
        token, start = tokens[at], at
        at += 1
        if token[0] == "(":
            at = _end_of_group(tokens, start)
        following = tokens[at] if at < len(tokens) else ""
        is_needed = not _OPTIONAL.match(following)
        literal = _literal(token)
        if literal and is_needed:
            run += literal
        if not literal or _REPEATED.match(following):
            choices.append(frozenset({run} - {""}))
            run = ""
        if token in ("(", "(?:") and is_needed:
            choices.append(_needed(tokens[start + 1 : at - 1]))
    choices.append(frozenset({run} - {""}))
    return max(choices, key=lambda texts: min(map(len, texts), default=0))


def _end_of_group(tokens: Sequence[str], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        depth += tokens[at].startswith("(") - tokens[at].startswith(")")
        if depth == 0:
            return at + 1
    raise AssertionError(tokens)  # It compiled, so its groups end.


def _literal(token: str) -> str:
    """Return the character a token stands for; "" if it stands for several, or for none."""
    if len(token) == 1:
        return "" if token in _NO_LITERAL else token
    return token[1] if token[0] == "\\" and not token[1].isalnum() else ""

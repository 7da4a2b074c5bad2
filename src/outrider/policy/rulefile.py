"""What the rule files of this folder have in common: how they are read and how their patterns are compiled.

A rule file is TOML with a [[rule]] table for each rule (`rules.toml`, `shaping.toml`). A rule has an id of its own and
a pattern that is searched in "CODE ENHANCED TEXT" (`classify.line_of`), case ignored. Nothing in a file is passed over:
an unknown key, an id used twice or a broken pattern is a `ConfigError` that says where.
"""

import re
import tomllib
from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

import msgspec

from outrider.base.errors import ConfigError

_CAPITAL: Final = re.compile(r"\\.|[A-Z]")  # An escape keeps its case: \S is not \s.
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
        ConfigError: not TOML, an unknown or missing key, a value out of bounds; it says which.
    """
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{title} cannot be read: {error}") from error


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

"""Commands that the documents tell people to type exist: `make TARGET` and `outrider COMMAND`."""

import re
from collections.abc import Iterable
from typing import Final

import typer

from tests.docs.pages import ROOT, code_blocks, documents, refuse

_MAKE: Final = re.compile(r"(?:^|[`;&|$]\s*)make ((?:[a-z]+ ?)+)", re.MULTILINE)
_OUTRIDER: Final = re.compile(r"(?:^|[`;&|$/]\s*|\bbin/)outrider ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)


def typed(text: str) -> str:
    """Return what the document shows as typed: code blocks and words in backticks."""
    return code_blocks(text) + "\n" + "\n".join(re.findall(r"`[^`\n]+`", text))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def unknown_targets(text: str, targets: set[str]) -> list[str]:
    return [word for words in _MAKE.findall(typed(text)) for word in words.split() if word not in targets]


def command_names() -> dict[str, set[str]]:
    """Return each command of the program with its subcommands."""
    from outrider.cli.main import assemble

    root = typer.main.get_command(assemble())
    commands: dict[str, object] = getattr(root, "commands", {})
    return {name: set(getattr(command, "commands", {})) for name, command in commands.items()}


def unknown_commands(text: str, known: dict[str, set[str]]) -> Iterable[str]:
    for name, sub in _OUTRIDER.findall(typed(text)):
        if name not in known:
            yield f"outrider {name}"
        elif known[name] and sub and sub not in known[name]:
            yield f"outrider {name} {sub}"


def test_make_targets_in_the_documents_exist() -> None:
    targets = make_targets()
    assert {"setup", "run", "test", "check", "bench", "pins", "clean", "help", "docs"} <= targets
    refuse(f"{p.name}: make {t}" for p in documents() for t in unknown_targets(p.read_text("utf-8"), targets))


def test_commands_in_the_documents_exist() -> None:
    known = command_names()
    assert {"serve", "init", "send", "status"} <= set(known)
    refuse(f"{p.name}: {c}" for p in documents() for c in unknown_commands(p.read_text("utf-8"), known))


def test_an_unknown_target_is_seen() -> None:
    text = "Say `make coffee`, make haste.\n```sh\nmake run\ngit clone x && make tea\n```\n"
    assert sorted(unknown_targets(text, {"run"})) == ["coffee", "tea"]


def test_an_unknown_command_is_seen() -> None:
    known = {"key": {"create"}, "send": set[str]()}
    text = "`outrider key create`, `outrider key crate`, `outrider fly`, `outrider send now`; an outrider rides.\n"
    assert list(unknown_commands(text, known)) == ["outrider key crate", "outrider fly"]

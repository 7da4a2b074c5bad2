"""Write the generated pages of docs/reference from the code: `make docs`.

One function a page: it returns the page's text. tests/docs compares each with the file, so a page cannot be stale. The
words come from the code's own docstrings and comments; mend them there. The list of frozen words only ever grows here;
taking one out is done by hand, with an ADR.
"""

import ast
import enum
import importlib
import inspect
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ROOT / "src"
FROZEN_PATH: Final = ROOT / "tests/docs/frozen_words.json"
EVENT_WORDS: Final = (
    "outrider.base.vocab",
    "outrider.policy.reason",
    "outrider.policy.suppress",
    "outrider.policy.guard",
    "outrider.wire.answer",
)
_NOTE: Final = "<!-- Written by `make docs` from the code; mend the words there. -->"
_SECTION: Final = re.compile(r"--\s*(.+?)\.?")
_SETTINGS_INTRO: Final = """\
A value comes from the environment, else from the file, else it is the default. In the environment `[table] key` is
`OUTRIDER_TABLE__KEY`, a key outside any table is `OUTRIDER_KEY`, and a few have a shorter name. NAME is a name that you
choose. A list is written in the environment as in the file: `["a", "b"]`. An unknown key or a value out of bounds stops
the start and is named."""
_ERRORS_INTRO: Final = """\
What a caller sees when a call fails. `code`, HTTP status, uSpeedo's RetCode and SMTP reply of an error never change
(`tests/docs/test_frozen_words.py`). The uSpeedo dialect answers HTTP 200 and the RetCode: see [the API](api.md). The
message beside the code is one bland sentence; the details are in the log.

A failed delivery is not an error: it is a verdict, and stands in the recipient's events."""
_PROVIDERS_INTRO: Final = """\
What Outrider knows without being told. Limits hold for each source address. How to change them, and what the words
mean: [shaping](../howto/shaping.md)."""
_REASONS_INTRO: Final = """\
Why an attempt, a report or a reader ended as it did. The word never changes. Which reply means what is in
`src/outrider/policy/rules.toml`, with sources and samples; how much of what suppresses an address, and for how long, in
the head of `src/outrider/policy/suppress.py`, and why so little does in
[ADR 0012](../decisions/0012-what-may-suppress-an-address.md)."""
_SIMULATOR_INTRO: Final = """\
All at `simulator.outrider.test`, or at any domain below it. `bounce+gmail@` and `bounce@gmail.simulator.outrider.test`
speak as that provider; further tags (`bounce+order-17@`) are yours to use. How to test with it:
[the simulator](../howto/simulator.md)."""
_V1_INTRO: Final = """\
The same as [openapi.json](openapi.json), which is served at `/v1/openapi.json` and shown at `/docs` with a way to try
each call. How to use them: [the native API](../howto/native-api.md); what errors are: [errors](errors.md)."""
_WORDS_INTRO: Final = """\
`any` is said by a server of no profile, and by a profile that has no words of its own. A stage is named where the
provider says it elsewhere than others."""
_EVENTS_INTRO: Final = """\
Lower-case strings, the same in the database, in JSON, in logs and in the console. Never renamed, never reused."""


# Settings.


def settings_page() -> str:
    """Return docs/reference/settings.md: every field of `Config` and of every `*Settings` record."""
    config = importlib.import_module("outrider.config")
    parts = [
        "# Settings",
        _NOTE,
        _SETTINGS_INTRO,
        "## Outside any table",
        _fields_table(config.Config),
    ]
    for record, places in settings_records().items():
        parts += [f"## {' and '.join(f'[{place}]' for place in places)}"]
        if "." in places[0]:  # A table in a table: what it is does not follow from its name.
            parts += [_first_paragraph(record)]
        parts += [_fields_table(record, places[0])]
    return _page(parts)


def settings_records() -> Mapping[type, Sequence[str]]:
    """Return the record of each table of the file, with all its places; NAME and POOL are the operator's to choose."""
    config = importlib.import_module("outrider.config")
    found: dict[type, list[str]] = {}
    for field in sorted(_fields(config.Config), key=lambda field: field.name):
        for record, place in _records(field.type, field.name):
            # Of two names that the operator chooses, the outer one is a pool's.
            found.setdefault(record, []).append(place.replace("NAME.NAME", "POOL.NAME"))
    return found


def _records(kind: msgspec.inspect.Type, place: str) -> Iterator[tuple[type, str]]:
    """Give the record of a table, and those of the tables in it."""
    match kind:
        case msgspec.inspect.StructType(cls=cls):
            yield cls, place
            for field in kind.fields:
                yield from _records(field.type, f"{place}.{field.encode_name}")
        case msgspec.inspect.DictType(value_type=inner):
            yield from _records(inner, f"{place}.NAME")
        case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.VarTupleType(item_type=inner):
            yield from _records(inner, f"[{place}]")


def homeless_settings() -> Sequence[str]:
    """Return the `*Settings` records that no table of `Config` holds: knobs that nobody can turn."""
    held = settings_records()
    return [cls.__qualname__ for cls in classes() if cls.__name__.endswith("Settings") and cls not in held]


def _fields(record: type) -> Sequence[msgspec.inspect.Field]:
    kind = msgspec.inspect.type_info(record)
    assert isinstance(kind, msgspec.inspect.StructType)
    return kind.fields


def _fields_table(record: type, table: str = "") -> str:
    words = field_words(record)
    rows = [
        (
            f"`{field.encode_name}`",
            "-" if isinstance(field.type, msgspec.inspect.DictType) else _env_name(table, field.name),
            _default(field),
            _bounds(field.type),
            words[field.name],
        )
        for field in _fields(record)
        if not isinstance(field.type, msgspec.inspect.StructType)
    ]
    return _table(("key", "environment", "default", "may be", "what it does, what it costs"), rows)


def _env_name(table: str, key: str) -> str:
    if table.startswith("["):
        return "-"  # A list comes from the environment as a whole.
    config = importlib.import_module("outrider.config")
    path = f"{table}.{key}" if table else key
    short = {path: name for name, path in config.SHORT_NAMES.items()}
    return f"`{config.PREFIX}{short.get(path, path.replace('.', '__').upper())}`"


def field_words(record: type) -> dict[str, str]:
    """Return what the source says about each field: the string below it, else the comment beside it."""
    source = textwrap.dedent(inspect.getsource(record))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    comments = _comments(source)
    words: dict[str, str] = {}
    for node, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        text = comments.get(node.end_lineno or node.lineno, "")
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            text = below.value.value
        words[node.target.id] = " ".join(text.split())
    return words


def _default(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "none: must be set"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, Path | tuple):
        value = str(value) if isinstance(value, Path) else list(value)
    if value is None:
        return "as it is"
    if isinstance(value, float):
        return f"`{value:.15g}`"
    return f"`{json.dumps(value, default=str)}`"


def _bounds(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case msgspec.inspect.EnumType(cls=cls):
            return ", ".join(f"`{member.value}`" for member in cls)
        case msgspec.inspect.BoolType():
            return "`true`, `false`"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            low = f"over {kind.gt:.15g}" if kind.gt is not None else f"{kind.ge:.15g}" if kind.ge is not None else ""
            high = f"below {kind.lt:.15g}" if kind.lt is not None else f"{kind.le:.15g}" if kind.le is not None else ""
            return " to ".join(filter(None, (low, high))) or "a number"
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_bounds(t) for t in types if not isinstance(t, msgspec.inspect.NoneType))
        case msgspec.inspect.DictType():
            return "tables, see below"
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return "a list"
        case _:
            return "text"


# Errors.


def errors_page() -> str:
    """Return docs/reference/errors.md: every error and what each door says for it."""
    rows = [
        (
            f"`{error.code}`",
            str(error.status),
            str(error.ret_code),
            f"`{error.smtp}`",
            f"{_first_paragraph(error)} (`{error.__name__}`)",
        )
        for error in error_classes()
    ]
    return _page(
        (
            "# Errors",
            _NOTE,
            _ERRORS_INTRO,
            _table(("code", "HTTP", "RetCode", "SMTP", "when"), rows),
        )
    )


def error_classes() -> Sequence[Any]:
    """Return the error tree in depth-first order, the root first."""
    root = importlib.import_module("outrider.base.errors").OutriderError
    classes()
    return list(_subtree(root))


def _subtree(error: Any) -> Iterator[Any]:
    yield error
    for child in sorted(error.__subclasses__(), key=_order):
        if child.__module__.startswith("outrider.") and not child.__module__.startswith("outrider.testing"):
            yield from _subtree(child)


def _order(error: Any) -> tuple[bool, str, str]:
    """Sort the tree's own errors as they are written there, others behind them: whoever was imported first."""
    is_other = error.__module__ != "outrider.base.errors"
    return (True, error.__module__, error.__name__) if is_other else (False, "", "")


# Words.


def events_page() -> str:
    """Return docs/reference/events.md: the words that events and states are told in."""
    parts = [
        "# Events, statuses and other words",
        _NOTE,
        _EVENTS_INTRO,
    ]
    for module in map(importlib.import_module, EVENT_WORDS):
        for cls in vars(module).values():
            if isinstance(cls, type) and issubclass(cls, enum.StrEnum) and cls.__module__ == module.__name__:
                words = member_words(cls)
                rows = [(f"`{member.value}`", words[member.name]) for member in cls]
                parts += [f"## {cls.__name__}", inspect.cleandoc(cls.__doc__ or ""), _table(("word", "means"), rows)]
    return _page(parts)


def reasons_page() -> str:
    """Return docs/reference/reasons.md: every reason, who is at fault, what we do, and what it takes to suppress."""
    reason = importlib.import_module("outrider.policy.reason")
    words = member_words(reason.Reason)
    rows = [
        (f"`{one}`", f"`{reason.scope_of(one)}`", f"`{reason.action_of(one)}`", words[one.name])
        for one in reason.Reason
    ]
    parts = ["# Reasons", _NOTE, _REASONS_INTRO, _table(("reason", "at fault", "we", "means"), rows)]
    for cls, title in ((reason.Scope, "At fault"), (reason.Action, "What we do")):
        meanings = member_words(cls)
        parts += [f"## {title}", _table(("word", "means"), [(f"`{one}`", meanings[one.name]) for one in cls])]
    return _page(parts)


def member_words(cls: type[enum.Enum]) -> dict[str, str]:
    """Return the comment beside each member; "" for one that speaks for itself."""
    source = textwrap.dedent(inspect.getsource(cls))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    comments = _comments(source)
    return {
        node.targets[0].id: comments.get(node.lineno, "")
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def frozen_words() -> dict[str, dict[str, Any]]:
    """Return every word that others may rely on, as it is now: error codes, and the values of string enums."""
    return {
        "errors": {
            error.__name__: {"code": error.code, "status": error.status, "ret_code": error.ret_code, "smtp": error.smtp}
            for error in error_classes()
        },
        "enums": {
            f"{cls.__module__}.{cls.__name__}".removeprefix("outrider."): {m.name: m.value for m in cls}
            for cls in classes()
            if issubclass(cls, enum.StrEnum)
        },
    }


def grown(stored: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the stored words with the new ones of now; what is stored stays as it is."""
    return {
        group: {
            name: {**now[group].get(name, {}), **stored.get(group, {}).get(name, {})}
            for name in sorted({*now[group], *stored.get(group, {})})
        }
        for group in now
    }


# Limits and metrics.


def limits_page() -> str:
    """Return docs/reference/limits.md: every hard limit with its source."""
    limits = importlib.import_module("outrider.base.limits")
    source = inspect.getsource(limits)
    comments = _comments(source)
    parts = [
        "# Limits",
        _NOTE,
        "Hard limits: nothing here can be configured. A limit that an operator may move is a [setting](settings.md).",
    ]
    headings = {line: found[1] for line, text in comments.items() if (found := _SECTION.fullmatch(text))}
    rows: list[Sequence[str]] = []
    for node in ast.parse(source).body:
        for line in [line for line in headings if line < node.lineno]:
            parts += [_table(("limit", "value", "source"), rows), f"## {headings.pop(line)}"]
            rows = []
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            words = comments.get(node.end_lineno or node.lineno, "")
            rows.append((f"`{name}`", f"{getattr(limits, name):,.15g}", words))
    return _page([*parts, _table(("limit", "value", "source"), rows)])


def metrics_page() -> str:
    """Return docs/reference/metrics.md: every metric, what healthy looks like, what to page on."""
    metrics = importlib.import_module("outrider.obs.metrics")
    rows = [
        (f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels) or "-", m.meaning, m.healthy, m.page_on)
        for m in metrics.DECLARED
    ]
    return _page(
        (
            "# Metrics",
            _NOTE,
            "`GET /metrics` on the web port tells about all processes of the node, in Prometheus's text format.",
            _table(("metric", "kind", "labels", "means", "healthy", "page on"), rows),
        )
    )


# Providers.


def providers_page() -> str:
    """Return docs/reference/providers.md: what we know of providers, as shaping.toml has it."""
    shaping, sentence = map(importlib.import_module, ("outrider.policy.shaping", "outrider.policy.sentence"))
    known = shaping.parse((SOURCES / "outrider/policy/shaping.toml").read_text("utf-8"))
    providers = [
        (f"`{p.name}`", ", ".join(f"`{mx}`" for mx in p.mx) or "-", *_limits_cells(sentence, known, p.name), p.source)
        for p in known.providers
    ]
    rules = [
        (
            f"`{rule.id}`",
            ", ".join(rule.providers),
            f"`{rule.pattern}`" + (f", if `{rule.reason}`" if rule.reason else ""),
            "; ".join(_step_words(step) for step in rule.acts) or "nothing",
            rule.source,
        )
        for rule in known.rules
    ]
    limits = ("connections", "a site", "mails each", "rates", "TLS")
    return _page(
        (
            "# Providers and reply rules",
            _NOTE.replace("the code", "`src/outrider/policy/shaping.toml`"),
            _PROVIDERS_INTRO,
            "## Providers",
            _table(("provider", "MX hosts", *limits, "source"), providers),
            "## Reply rules",
            _table(("rule", "providers", "if the reply has", "we", "source"), rules),
        )
    )


def _limits_cells(sentence: Any, known: Any, name: str) -> Sequence[str]:
    limits = known.limits(name, "")
    rates = ", ".join(map(sentence.rate_of, limits.rates)) or "-"
    site = str(limits.connections_per_site or "-")
    return (str(limits.connections), site, str(limits.messages_per_connection), rates, limits.tls)


def _step_words(step: Any) -> str:
    caps = {"connections": step.connections, "mails each": step.messages_per_connection}
    words = [step.act, step.rate, *(f"{count} {name}" for name, count in caps.items() if count)]
    if step.for_s:
        words.append(f"for {step.for_s / 60:g} min")
    if step.hits > 1:
        words.append(f"at {step.hits} in {step.within_s / 60:g} min")
    return " ".join(filter(None, words))


# The simulator.


def simulator_page() -> str:
    """Return docs/reference/simulator.md: every address with what it does, and what each provider says."""
    simulate = importlib.import_module("outrider.policy.simulate")
    words = importlib.import_module("outrider.knowledge").simulator_words()
    addresses = [
        (f"`{one.name}@`", one.does, f"`{one.fate}`", f"`{one.reason}`", f"`{one.late}`" if one.late else "-")
        for one in simulate.OUTCOMES
    ]
    patterns = [(f"`{pattern}@`", does) for pattern, does in simulate.PATTERNS.items()]
    replies = [
        (f"`{one.outcome}`", one.profile, one.stage or "-", f"`{one.text}`", one.source, str(one.seen_on))
        for one in sorted(words.replies, key=lambda one: (one.outcome, one.profile != simulate.ANY, one.profile))
    ]
    return _page(
        [
            "# Simulator addresses",
            _NOTE,
            _SIMULATOR_INTRO,
            "## Words",
            _table(("address", "the server ...", "an attempt is", "because of", "comes later"), addresses),
            "## Of your own making",
            _table(("address", "the server ..."), patterns),
            "## What is said",
            _WORDS_INTRO,
            _table(("word", "profile", "stage", "reply", "source", "seen on"), replies),
        ]
    )


# Shared.


def openapi_page() -> str:
    """Return docs/reference/openapi.json: the document that is served at /v1/openapi.json."""
    return json.dumps(_openapi(), indent=1, ensure_ascii=False) + "\n"


def v1_page() -> str:
    """Return docs/reference/v1.md: every call under /v1, and every record that goes in or out."""
    document = _openapi()
    calls = [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    parts = ["# /v1, call by call", _NOTE, _V1_INTRO]
    for tag in (tag["name"] for tag in document["tags"]):
        parts.append(f"## {tag}")
        rows = [
            (
                f"`{method.upper()} {path}`",
                _scope_of(one),
                one["description"].partition("\n\n")[0],
                f"`{_record_name(one.get('requestBody'))}`" if "requestBody" in one else "",
                ", ".join(
                    f"{status} `{_record_name(answer)}`" for status, answer in one["responses"].items() if status < "3"
                ),
            )
            for path, method, one in calls
            if tag in one["tags"]
        ]
        parts.append(_table(("call", "scope", "does", "takes", "answers"), rows))
        for path, method, one in calls:
            asked = [known for known in one["parameters"] if known["in"] == "query"]
            if tag in one["tags"] and asked:
                parts.append(f"Parameters of `{method.upper()} {path}`:")
                rows = [(f"`{known['name']}`", _kind(known["schema"]), known.get("description", "")) for known in asked]
                parts.append(_table(("parameter", "is", "means"), rows))
    parts.append("## Records")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name}", schema.get("description", "")]
        if "enum" in schema:
            parts.append(", ".join(f"`{word}`" for word in schema["enum"]))
        else:
            needed = schema.get("required", ())
            fields = [
                (f"`{field}`", _kind(kind), "yes" if field in needed else "", kind.get("description", ""))
                for field, kind in schema["properties"].items()
            ]
            parts.append(_table(("field", "is", "always there", "means"), fields))
    return _page(parts)


def _openapi() -> Any:
    return importlib.import_module("outrider.faces.api.v1.table").openapi()


def _answers(operation: Any) -> str:
    successes = [(status, answer) for status, answer in operation["responses"].items() if status < "3"]
    return ", ".join(f"{status} `{_record_name(answer)}`" for status, answer in successes)


def _scope_of(operation: Any) -> str:
    return ", ".join(re.findall(r"scope `(\w+)`", operation["description"])) or "none"


def _record_name(holder: Any) -> str:
    schema = next(iter(holder.get("content", {"": {"schema": {}}}).values()))["schema"]
    return _kind(schema).strip("`[]()").partition("]")[0] if schema else ""


def _kind(schema: Any) -> str:
    """Say in a word or two what a value is."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema.get('items', {}))}"
        case "object" if "additionalProperties" in schema:
            return f"object of {_kind(schema['additionalProperties'])}"
        case "string" if "format" in schema:
            return str(schema["format"])
        case None:
            return "any"
        case kind:
            return str(kind)


def classes() -> Sequence[type]:
    """Return every class of the sources that a page may be about: settings, string enums and errors.

    Only the modules that define one are imported; the doubles in `testing` are nobody's business.
    """
    found: list[type] = []
    for path in sorted(SOURCES.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        if module.startswith("outrider.testing"):
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.ClassDef) and (
                node.name.endswith(("Settings", "Error")) or {"enum.StrEnum", "StrEnum"} & set(bases)
            ):
                found.append(getattr(importlib.import_module(module), node.name))
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.removeprefix("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def _first_paragraph(cls: type) -> str:
    return " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


PAGES: Final = {
    "simulator.md": simulator_page,
    "providers.md": providers_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "reasons.md": reasons_page,
    "limits.md": limits_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "openapi.json": openapi_page,
    "v1.md": v1_page,
}


def main() -> None:
    """Write every page, and add new words to the frozen ones."""
    for name, page in PAGES.items():
        (ROOT / "docs/reference" / name).write_text(page(), "utf-8")
    stored = json.loads(FROZEN_PATH.read_text("utf-8")) if FROZEN_PATH.exists() else {}
    FROZEN_PATH.write_text(json.dumps(grown(stored, frozen_words()), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

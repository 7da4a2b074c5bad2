"""From an author's text to the text that minijinja gets. Pure.

Jinja's own parser reads what the author wrote; this module writes it again, node by node, and refuses every node that
it does not know. So the two programs cannot disagree about what a text means, and what minijinja sees holds only:
values, `if`, `for`, `set`, `with`, `macro`, the filters and tests listed here, and calls of `mail.guard`.

- Partials are taken in: `include`, `extends`, `block`, `import` are gone, circles are named. What is left stands alone.
- A macro may call only macros that stand before it. So nothing can call itself.
- What could make long values out of short ones (`~`, `+`, `*`, `**`, lists) becomes a call of `guard`, which counts.
- `weigh`, last of all, puts a count into each loop and macro.

Tags are marked with characters that are none (Unicode 23.7), so that no text can hold one, and text needs no escaping.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import jinja2
import msgspec
from jinja2 import nodes, visitor

from outrider.base import limits
from outrider.base.errors import TemplateError
from outrider.mail.expressions import DEPTH_MAX, Expressions
from outrider.mail.guard import fold

VALUE: Final = ("\ufdd0", "\ufdd1")
TAG: Final = ("\ufdd2", "\ufdd3")
COMMENT: Final = ("\ufdd4", "\ufdd5")
MADE: Final = "\ufdd4\ufdd5"  # An empty comment at the head of a text that was made of HTML: gaps in it are closed.
TAGS: Final = re.compile("\ufdd0[^\ufdd1]*\ufdd1|\ufdd2[^\ufdd3]*\ufdd3")
RESERVED: Final = re.compile("[\ufdd0-\ufdd5]")

UNSUBSCRIBE_LINK: Final = "unsubscribe_link"  # The variable that holds the recipient's own link.
UNSUBSCRIBE_MARK: Final = "%%user_defined_unsubscribe_link%%"  # uSpeedo's way to write it (shared/uspeedo.md 3).

_JINJA: Final = jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 - it only parses.
# uSpeedo's {name}: not {{name}}, not CSS, and nothing in <style> or <script>, those in comments for Outlook as well.
_BRACES: Final = re.compile(r"(?<!\{)\{(\w(?:[\w .-]{0,98}\w)?)\}(?!\})")
_SKIPPED: Final = re.compile(r"<(style|script)\b", re.IGNORECASE)
_SKIPPED_ENDS: Final = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("style", "script")}


class Translated(msgspec.Struct, frozen=True):
    """A text for minijinja, not yet weighed."""

    text: str
    variables: frozenset[str]  # Read, and neither tested nor given a default; "user.name" for a field.
    partials: frozenset[str]
    shapes: frozenset[str] = (
        frozenset()
    )  # What a preview fills in: "order.lines.[].name", with "=1" behind for a number.


def translate(source: str, partials: Mapping[str, str]) -> Translated:
    """Return what an author wrote with Jinja's tags.

    Raises:
        TemplateError: says what and in which line; `field` is "partials.NAME" when it is in a partial, else "".
    """
    writer = _Writer(partials)
    try:
        writer.write_template(_parse(source, ""))
    except RecursionError:
        raise TemplateError("Its tags or expressions stand in each other too deep.") from None
    return Translated(
        "".join(writer.out),
        frozenset(name for name in writer.reads if name.partition(".")[0] not in writer.optional),
        frozenset(writer.used),
        frozenset(shape + "=1" * (shape in writer.numbers) for shape in writer.shapes),
    )


def translate_braces(source: str) -> Translated:
    """Return what an author wrote with uSpeedo's {name} tags. Raises TemplateError."""
    _check_text(source, "")
    names: set[str] = set()

    def tag(found: re.Match[str]) -> str:
        names.add(found[1])
        return f"{VALUE[0]} {fold(found[1])} {VALUE[1]}"

    made, at = [], 0
    for start, stop in _skipped(source):
        made += [_BRACES.sub(tag, source[at:start]), source[start:stop]]
        at = stop
    made.append(_BRACES.sub(tag, source[at:]))
    return Translated(unsubscribing("".join(made)), frozenset(names), frozenset(), frozenset(names))


def _skipped(source: str) -> Iterator[tuple[int, int]]:
    """Yield where each <style> and <script> begins and ends, those without an end tag left out."""
    at, ends = 0, dict(_SKIPPED_ENDS)
    while ends and (found := _SKIPPED.search(source, at)):
        name, at = found[1].lower(), found.end()
        if name not in ends:
            continue
        end = ends[name].search(source, at)
        if end is None:
            del ends[name]  # None is behind any later one either: to look again from each would be quadratic.
        else:
            at = end.end()
            yield found.start(), at


def unsubscribing(text: str) -> str:
    """Return a text outside of tags with uSpeedo's mark made a tag."""
    return text.replace(UNSUBSCRIBE_MARK, f"{VALUE[0]} {UNSUBSCRIBE_LINK} {VALUE[1]}")


def weigh(text: str) -> str:
    """Return a finished text with a count at the head of each loop and macro: what a run of it shows and reads.

    Last, when MJML and CSS have been worked out: they make text longer.
    """
    heads: list[int] = []  # Where in `made` the head of each open loop or macro stands; the whole text's first.
    weights: dict[int, list[int]] = {}
    made: list[str] = []
    at = 0
    heads.append(0)
    weights[0] = [0, 0]
    made.append("")
    for found in TAGS.finditer(text):
        made.append(text[at : found.start()])
        weights[heads[-1]][0] += found.start() - at
        at = found.end()
        word = found[0][1:].split(None, 1)[0]
        if word in ("endfor", "endmacro"):
            heads.pop()
        weights[heads[-1]][1] += _steps_in(found[0])
        made.append(found[0])
        if word in ("for", "macro"):
            heads.append(len(made))
            weights[len(made)] = [0, 0]
            made.append("")
    made.append(text[at:])
    for head, (chars, steps) in weights.items():
        if head or steps > _STEPS_FREE:
            made[head] = f"{TAG[0]} set _g_n = _g_tick({chars if head else 0}, {steps}) {TAG[1]}"
    return "".join(made)


def _steps_in(tag: str) -> int:
    """Return how often a tag may read a value from end to end, at most."""
    return 1 + tag.count("|") + tag.count(" in ") + tag.count("==") + tag.count("[")


_STEPS_FREE: Final = 100  # Tags outside loops that are not worth a count of their own.


def _check_text(source: str, partial: str) -> None:
    field = f"partials.{partial}" if partial else ""
    if len(source.encode("utf-8", "replace")) > limits.TEMPLATE_BYTES_MAX:
        raise TemplateError(f"It is over {limits.TEMPLATE_BYTES_MAX} bytes.", field=field)
    if "\0" in source or RESERVED.search(source):
        raise TemplateError("It holds a character that is none.", field=field)


def _check_tags(source: str, field: str) -> None:
    """Refuse more tags than Jinja's parser reads in a moment."""
    at = count = chars = 0
    while (found := _OPENING.search(source, at)) is not None:
        stop = source.find("}}" if found[0] == "{{" else "%}", found.end())
        if stop < 0:
            stop = len(source)
        count, chars, at = count + 1, chars + stop - found.end(), stop
    if count > limits.TEMPLATE_TAGS_COUNT_MAX or chars > limits.TEMPLATE_TAGS_CHARS_MAX:
        raise TemplateError("Its tags are too many, or too long.", field=field)


_OPENING: Final = re.compile(r"\{[{%]")


def _parse(source: str, partial: str) -> nodes.Template:
    _check_text(source, partial)
    field = f"partials.{partial}" if partial else ""
    _check_tags(source, field)
    try:
        parsed = _JINJA.parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"Line {error.lineno}: {error.message}", field=field) from None
    except (ValueError, SyntaxError, MemoryError):  # A number of over 4,300 digits and its like.
        raise TemplateError("It holds a value that cannot be read.", field=field) from None
    if UNSUBSCRIBE_MARK in source:
        _Unsubscribing().visit(parsed)
    return parsed


class _Unsubscribing(visitor.NodeTransformer):
    """Makes uSpeedo's mark in a tag's texts the variable, joined with what stands around it.

    In the tree, as a tag in a tag would be text. Those outside of tags are for `unsubscribing`.
    """

    def visit_Const(self, node: nodes.Const) -> nodes.Expr:  # noqa: N802 - Jinja's name.
        if not isinstance(node.value, str) or UNSUBSCRIBE_MARK not in node.value:
            return node
        joined: list[nodes.Expr] = []
        for text in node.value.split(UNSUBSCRIBE_MARK):
            joined.append(nodes.Name(UNSUBSCRIBE_LINK, "load", lineno=node.lineno))
            if text:
                joined.append(nodes.Const(text, lineno=node.lineno))
        joined = joined[1:]
        return joined[0] if len(joined) == 1 else nodes.Concat(joined, lineno=node.lineno)


class _Writer(Expressions):
    """Writes one text."""

    def __init__(self, partials: Mapping[str, str]) -> None:
        super().__init__()
        self._partials: Final = partials
        self.out: Final[list[str]] = []
        self.used: Final[set[str]] = set()
        self._blocks: dict[str, list[nodes.Block]] = {}  # The innermost child's first.
        self._supers: list[tuple[str, int]] = []
        self._loops = 0
        self._chars = 0
        self._macro_count = 0

    def _put(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > 2 * limits.TEMPLATE_BYTES_MAX:
            raise TemplateError("With its partials it is too long.")
        self.out.append(text)

    def _tag(self, text: str) -> None:
        self._put(f"{TAG[0]} {text} {TAG[1]}")

    # -- Whole templates.

    def write_template(self, template: nodes.Template) -> None:
        """Write a template, and the layout it extends around it."""
        extends = [node for node in template.body if isinstance(node, nodes.Extends)]
        for block in template.find_all(nodes.Block):
            self._blocks.setdefault(block.name, []).append(block)
        if not extends:
            self._write(template.body)
            return
        for node in template.body:
            if isinstance(node, nodes.Assign | nodes.AssignBlock | nodes.Macro | nodes.Import | nodes.FromImport):
                self._statement(node)
        with self._partial(extends[0], extends[0].template) as layout:
            self.write_template(layout)

    @contextlib.contextmanager
    def _partial(self, node: nodes.Node, named: nodes.Expr) -> Iterator[nodes.Template]:
        if not isinstance(named, nodes.Const) or not isinstance(named.value, str):
            raise self._refuse(node, "a partial is named by a text in quotes.")
        name = named.value
        if name in self._open:
            circle = " > ".join([*self._open[self._open.index(name) :], name])
            raise self._refuse(node, f"a circle of partials: {circle}.")
        if name not in self._partials:
            raise self._refuse(node, f"there is no partial {name[: limits.VARIABLE_NAME_CHARS_MAX]!r}.")
        self.used.add(name)
        if len(self.used) > limits.PARTIALS_COUNT_MAX or len(self._open) >= limits.PARTIALS_DEPTH_COUNT_MAX:
            raise self._refuse(node, "too many partials.")
        self._open.append(name)
        yield _parse(self._partials[name], name)
        self._open.pop()

    def _write(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            with self._deeper(node):
                self._statement(node)

    # -- Statements.

    def _statement(self, node: nodes.Node) -> None:
        match node:
            case nodes.Output():
                self._write_output(node)
            case nodes.If():
                self._write_if(node)
            case nodes.For():
                self._write_for(node)
            case nodes.Assign():
                value = self._expr(node.node)
                self._tag(f"set {self._target(node.target)} = {value}")
            case nodes.AssignBlock(filter=None):
                self._write_capture(node)
            case nodes.With():
                self._write_with(node)
            case nodes.Block():
                self._write_block(node.name, 0)
            case nodes.Macro():
                self._write_macro(node, self._macros)
            case nodes.Include():
                self._write_include(node)
            case nodes.Import():
                self._modules[node.target] = self._take_macros(node)
            case nodes.FromImport():
                self._write_from_import(node)
            case _:
                raise self._refuse(node, f"a tag that mail templates do not have ({type(node).__name__.lower()}).")

    def _write_output(self, node: nodes.Output) -> None:
        for part in node.nodes:
            match part:
                case nodes.TemplateData():
                    self._put(unsubscribing(part.data))
                case nodes.Call(node=nodes.Name(name="super"), args=[], kwargs=[]) if self._supers:
                    name, level = self._supers[-1]
                    self._write_block(name, level + 1)
                case _:
                    self._put(f"{VALUE[0]} {self._expr(part)} {VALUE[1]}")

    def _write_if(self, node: nodes.If) -> None:
        self._tag(f"if {self._expr(node.test)}")
        self._write(node.body)
        if len(node.elif_) > DEPTH_MAX:
            raise self._refuse(node, "too many elif.")
        for other in node.elif_:
            self._tag(f"elif {self._expr(other.test)}")
            self._write(other.body)
        if node.else_:
            self._tag("else")
            self._write(node.else_)
        self._tag("endif")

    def _write_for(self, node: nodes.For) -> None:
        if node.recursive:
            raise self._refuse(node, "a loop cannot call itself.")
        series, goes_through = self._expr(node.iter), self._shape(node.iter)
        with self._scope(["loop"]):
            target = self._target(node.target)
            if isinstance(node.target, nodes.Name):
                self._each[node.target.name] = goes_through and f"{goes_through}.[]"
                self._remember(self._each[node.target.name])
            condition = self._expr(node.test) if node.test else ""
            if condition:  # Read each time, outside of the body and its count.
                condition = f" if _g_cost({_steps_in(condition)}) and {condition}"
            self._loops += 1
            self._tag(f"for {target} in {series}{condition}")
            self._write(node.body)
            self._loops -= 1
        if node.else_:
            self._tag("else")
            with self._scope():
                self._write(node.else_)
        self._tag("endfor")

    def _write_capture(self, node: nodes.AssignBlock) -> None:
        target = self._target(node.target)
        self._tag(f"set {target}")
        self._write(node.body)
        self._tag("endset")
        self._tag(f"set {target} = _g_seen({target})")

    def _write_with(self, node: nodes.With) -> None:
        values = [self._expr(value) for value in node.values]
        with self._scope():
            pairs = [f"{self._target(target)} = {value}" for target, value in zip(node.targets, values, strict=True)]
            self._tag("with " + ", ".join(pairs or ["_g_w = 0"]))
            self._write(node.body)
            self._tag("endwith")

    def _write_block(self, name: str, level: int) -> None:
        bodies = self._blocks.get(name, [])
        if level < len(bodies):
            self._supers.append((name, level))
            with self._scope():
                self._tag("with _g_w = 0")
                self._write(bodies[level].body)
                self._tag("endwith")
            self._supers.pop()

    def _write_include(self, node: nodes.Include) -> None:
        missing = isinstance(node.template, nodes.Const) and node.template.value not in self._partials
        if node.ignore_missing and missing:
            return
        macros, modules, blocks = dict(self._macros), dict(self._modules), self._blocks
        self._blocks = {}
        with self._partial(node, node.template) as partial, self._scope():
            self._tag("with _g_w = 0")
            self.write_template(partial)
            self._tag("endwith")
        self._macros, self._modules, self._blocks = macros, modules, blocks

    # -- Macros.

    def _write_macro(self, node: nodes.Macro, known: dict[str, str]) -> None:
        if self._loops or len(self._scopes) > _MACRO_SCOPES:
            raise self._refuse(node, "a macro stands outside of loops and blocks.")
        self._macro_count += 1
        written = f"_g_m{self._macro_count}_{fold(node.name)}"
        first_default = len(node.args) - len(node.defaults)
        self._loops += 1
        with self._scope([argument.name for argument in node.args]):
            arguments = [
                fold(argument.name)
                + (f"={self._expr(node.defaults[place - first_default])}" if place >= first_default else "")
                for place, argument in enumerate(node.args)
            ]
            self._tag(f"macro {written}({', '.join(arguments)})")
            self._write(node.body)
            self._tag("endmacro")
        self._loops -= 1
        known[node.name] = written  # Only now: it cannot call itself.

    def _take_macros(self, node: nodes.Import | nodes.FromImport) -> dict[str, str]:
        outer, self._macros = self._macros, {}
        with self._partial(node, node.template) as partial:
            for inner in partial.body:
                if isinstance(inner, nodes.Macro | nodes.Import | nodes.FromImport):
                    self._statement(inner)
        found, self._macros = self._macros, outer
        return found

    def _write_from_import(self, node: nodes.FromImport) -> None:
        found = self._take_macros(node)
        for named in node.names:
            name, alias = named if isinstance(named, tuple) else (named, named)
            if name not in found:
                raise self._refuse(node, f"no macro {name!r} is in that partial.")
            self._macros[alias] = found[name]


_MACRO_SCOPES: Final = 3  # The whole, a block or an include, and a block in that.

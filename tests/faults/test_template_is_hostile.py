"""Fault: a customer's template loops for ever, makes gigabytes, digs for Python's insides or includes itself.

Each is refused when it is saved, or stopped when it is filled in, with an error that names the part at fault; in a
bounded time and without memory that its neighbours would miss; and the next mail of the process is rendered as ever.
All of them run in one process of its own, whose memory is measured: a crash of it would show as well.
"""

import os
import subprocess
import sys
from typing import Final

import msgspec
import pytest

MEMORY_MB_MAX: Final = 60  # What the worst of them may add; each alone took under 30 (2026-11-28).
CPU_S_MAX: Final = 2.0  # Of the worst, on a slow machine under load; 0.6 s was seen, for 512 KB of source.


def macro_chain(length: int) -> str:
    macros = ["{% macro m0(x) %}{{ x }}{% endmacro %}"]
    macros += [
        f"{{% macro m{n}(x) %}}{{{{ m{n - 1}(x) }}}}{{{{ m{n - 1}(x) }}}}{{% endmacro %}}" for n in range(1, length)
    ]
    return "".join(macros) + f"{{{{ m{length - 1}('a') }}}}"


LOOP: Final = "{% for i in range(5000) %}"
# fmt: off
BODIES: Final = {
    "nested loops": LOOP + LOOP + "{{ i }}" + "{% endfor %}" * 2,
    "deep loops": LOOP * 20 + "x" + "{% endfor %}" * 20,
    "endless range": "{% for i in range(10 ** 18) %}{% endfor %}",
    "times": "{{ 'x' * 10**9 }}",
    "list times": "{{ ([1] * 1000000000)|length }}",
    "doubling by ~": "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "doubling by +": "{% set x = 'aaaaaaaa' %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "doubling by capture": "{% set x %}aaaaaaaa{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x }}",
    "doubling by macro": "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set x = 'aaaa' %}" + "{% set x = m(x) %}" * 40,
    "macros in each other": "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "m(" * 40 + "'a'" + ")" * 40 + " }}",
    "chain of macros": macro_chain(40),
    "macro calls itself": "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "namespace": "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling of lists": "{% set x = ['a'] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "lists compared":
        "{% set x = ['a'] %}{% set y = ['a'] %}" + "{% set x = [x, x] %}{% set y = [y, y] %}" * 30 + "{{ x == y }}",
    "lists in each other": "{% set x = ['a'] %}" + "{% set x = [x] %}" * 4000 + "{{ x }}",
    "doubling of objects": "{% set x = {'a': 1} %}" + "{% set x = {'a': x, 'b': x} %}" * 40 + "{{ x|tojson }}",
    "replace": "{{ text|replace('', text) }}",
    "chain of replace": "{{ 'aaaaaaaa'" + "|replace('a', 'aaaaaaaa')" * 20 + " }}",
    "center": "{{ 'a'|center(10**9) }}",
    "indent": "{{ 'a'|indent(10**9) }}",
    "width": "{{ '%1000000000d'|format(1) }}",
    "width by star": "{{ '%*d'|format(10**9, 1) }}",
    "precision": "{{ '%.1000000000f'|format(1) }}",
    "format of Python": "{{ '{:>1000000000}'.format(1) }}",
    "join": "{{ range(5000)|join(text) }}",
    "chain of tojson": "{{ '\"'" + "|tojson" * 30 + " }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "digits": "{{ " + "9" * 60_000 + " }}",
    "class": "{{ ''.__class__.__mro__ }}",
    "class by index": "{{ text['__class__'] }}",
    "class by pieces": "{{ text['__cl' ~ 'ass__'] }}",
    "class by filter": "{{ text|attr('__class__') }}",
    "class by map": "{{ [text]|map(attribute='__class__', default='-')|join|int }}{{ none.x }}",
    "self": "{{ self }}",
    "request": "{{ request.application }}",
    "globals": "{{ lipsum.__globals__ }}",
    "method of a list": "{{ rows.append(rows) }}",
    "method of all variables": "{{ update(a=1) }}",
    "our own functions": "{{ _g_tick(-100000000, 0) }}",
    "our own names": "{% set _g_tick = 1 %}" + LOOP + "{{ text }}{% endfor %}",
    "include by name": "{% include text %}",
    "includes itself": "{% include 'itself' %}",
    "extends itself": "{% extends 'itself_extended' %}",
    "circle": "{% include 'one' %}",
    "fan": "{% include 'p0' %}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists in source": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "not": "{{ " + "not " * 5000 + "1 }}",
    "minus": "{{ " + "-" * 5000 + "1 }}",
    "if in if": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "or": "{{ " + " or ".join("0" * 12_000) + " }}",
    "filters": "{{ text" + "|upper" * 9000 + " }}",
    "path": "{{ a" + ".b" * 30_000 + " }}",
    "elif": "{% if 0 %}" + "{% elif 0 %}" * 4000 + "{% endif %}",
    "many tags": "{{ text }}" * 50_000,
    "output of text": LOOP + "x" * 400_000 + "{% endfor %}",
    "output of values": LOOP + "{{ text }}{% endfor %}",
    "work of filters": LOOP + "{% set x = text|upper|lower %}{% endfor %}",
    "work of sorting": LOOP + "{% set x = rows|sort %}{% endfor %}",
    "work of a condition": "{% for i in rows if rows|sort|length == 0 %}{{ i }}{% endfor %}",
    "work of comparing": LOOP + "{% if 9999 in rows %}{% endif %}{% if rows == rows %}{% endif %}" * 3 + "{% endfor %}",
    "work of cutting": LOOP + "{% set x = rows[1:] %}{% endfor %}",
    "recursive loop": "{% for i in rows recursive %}{{ loop(rows) }}{% endfor %}",
    "call": "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}",
    "no escaping": "{% autoescape false %}{{ text }}{% endautoescape %}",
    "characters of ours": "\ufdd0 _g_tick(-1, 0) \ufdd1",
    "opened for ever": "{{" * 100_000,
    "comments for ever": "{#" * 100_000,
    "raw for ever": "{% raw %}" * 50_000,
    "too large": "x" * 600_000,
    "batch": "{{ rows|batch(1000000000, 1) }}",
}
# fmt: on
PARTIALS: Final = {
    "itself": "{% include 'itself' %}",
    "itself_extended": "{% extends 'itself_extended' %}",
    "one": "{% include 'two' %}",
    "two": "{% include 'one' %}",
    **{f"p{n}": f"{{% include 'p{n + 1}' %}}" * 10 for n in range(8)},
    "p8": "x" * 1000,
}

SCRIPT: Final = """
import resource, sys, time
import msgspec
from outrider.base.errors import TemplateError
from outrider.mail.render import Renderer
from outrider.mail.templating import Source, SourceVariant, compile_source

bodies, partials = msgspec.json.decode(sys.stdin.buffer.read())
variables = {"text": "x" * 20000, "rows": list(range(2000))}
good = Renderer(compile_source(Source(variants=(SourceVariant(subject="s", body="{{ text|upper }}"),)), {}).template)

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for name, body in bodies.items():
    before_mb, before_s, field, why = peak_mb(), time.process_time(), "", "nothing"
    try:
        made = compile_source(Source(variants=(SourceVariant(subject="s", body=body, text="-"),)), partials)
        Renderer(made.template).render(variables)
    except TemplateError as error:
        field, why = error.field, error.public
    taken = time.process_time() - before_s
    well = good.render({"text": "a"}).html == "A"
    print(msgspec.json.encode([name, field, why, taken, peak_mb() - before_mb, well]).decode(), flush=True)
"""


class Outcome(msgspec.Struct, array_like=True):
    name: str
    field: str
    why: str
    cpu_s: float
    memory_mb: float
    is_neighbour_well: bool


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What became of each, in one process."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=msgspec.json.encode([BODIES, PARTIALS]),
        capture_output=True,
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found = [msgspec.json.decode(line, type=Outcome) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, (found[-1:], ran.stderr[-2000:])
    return {outcome.name: outcome for outcome in found}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BODIES)
def test_it_is_refused_or_stopped_and_its_neighbours_do_not_notice(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert outcome.why != "nothing"
    assert outcome.field
    assert outcome.why.startswith(("body: ", "html: ", "partials."))
    assert outcome.cpu_s < CPU_S_MAX
    assert outcome.memory_mb < MEMORY_MB_MAX
    assert outcome.is_neighbour_well

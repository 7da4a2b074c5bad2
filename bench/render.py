"""What does it cost to fill in a template for one recipient? Five variables, 5 KB, subject, HTML and text.

`plain` has variables alone, as uSpeedo's templates do; `logic` has a loop over five rows, a condition, filters and a
sum besides. `mjml` is the same mail from MJML: worked out once, which `compile` tells. Target: 40 us a recipient.
"""

from collections.abc import Callable, Iterator
from time import perf_counter, process_time
from typing import Final

from bench.lines import Line
from outrider.mail.render import Renderer
from outrider.mail.templating import Compiled, Markup, Source, SourceVariant, compile_source

_TARGET_US: Final = 40.0
_SENTENCE: Final = "Your order is on its way and will be with you within three working days, at no further cost to you."
_ROW: Final = f'<tr><td style="padding:8px;border-bottom:1px solid #eee">{_SENTENCE}</td></tr>'
_HEAD: Final = "<html><head><style>td { color: #333 } h1 { margin: 0 }</style></head><body><h1>Dear {{ name }},</h1>"
_LINES: Final = "<p>{{ code }} to {{ city }}, <b>{{ plan }}</b>: <a href='{{ url }}'>see it</a></p>"
_FOOT: Final = "<a href='{{ unsubscribe_link }}'>Unsubscribe</a></body></html>"
_LOGIC: Final = (
    "{% if plan == 'gold' %}<p>Thank you for your trust.</p>{% endif %}<table>{% for line in lines %}<tr>"
    "<td>{{ loop.index }}</td><td>{{ line.name|upper }}</td><td>{{ '%.2f'|format(line.price) }}</td></tr>{% endfor %}"
    "</table><p>{{ lines|sum(attribute='price') }}</p>"
)
_MJML: Final = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>Dear {{ name }}, {{ code }} to {{ city }}, {{ plan }}</mj-text>"
    "<mj-button href='{{ url }}'>See it</mj-button></mj-column></mj-section></mj-body></mjml>"
)
_VARIABLES: Final = {
    "name": "Ana",
    "code": "481516",
    "city": "Oslo",
    "plan": "gold",
    "url": "https://shop.example/o/1?a=1",
}
_ORDER: Final = {**_VARIABLES, "lines": [{"name": f"thing {n}", "price": 9.5 + n} for n in range(5)]}


def measure(limit: Line, *, is_quick: bool) -> Iterator[Line]:
    """Fill in each template for a while."""
    del limit  # Nothing is signed.
    wanted_s = 0.3 if is_quick else 1.5
    sources = {
        "plain": (Markup.HTML, _HEAD + _LINES + "<table>" + _ROW * 23 + "</table>" + _FOOT, _VARIABLES),
        "logic": (
            Markup.HTML,
            _HEAD + _LINES + _LOGIC + "<table>" + _ROW * 20 + "</table>" + _FOOT,
            _VARIABLES | _ORDER,
        ),
        "mjml": (Markup.MJML, _MJML, _VARIABLES),
    }
    for label, (markup, body, variables) in sources.items():
        variant = SourceVariant(subject="Order {{ code }}, {{ name }}", body=body)
        source = Source(markup=markup, variants=(variant,))
        started_s = perf_counter()
        compiled = compile_source(source, {})
        compile_ms = (perf_counter() - started_s) * 1000
        yield _line(label, compiled, variables, wanted_s, compile_ms=compile_ms)


def _line(label: str, compiled: Compiled, variables: dict[str, object], wanted_s: float, *, compile_ms: float) -> Line:
    renderer = Renderer(compiled.template)
    html = renderer.render(variables, unsubscribe_link="https://mail.shop.example/u/1").html or ""
    before_s = process_time()
    count, elapsed_s = _run(
        lambda: renderer.render(variables, unsubscribe_link="https://mail.shop.example/u/1"), wanted_s
    )
    each_us = (process_time() - before_s) / count * 1e6
    facts: dict[str, float | str] = {
        "html_bytes": len(html),
        "compile_ms": round(compile_ms, 2),
        "within_target": "yes" if each_us < _TARGET_US else "no",
    }
    cpu_us = {"render": round(each_us, 1)}
    return Line(
        name=f"render {label}", n=count, unit="recipient", rate=round(count / elapsed_s, 1), cpu_us=cpu_us, facts=facts
    )


def _run(work: Callable[[], object], wanted_s: float) -> tuple[int, float]:
    count, started_s = 0, perf_counter()
    while (elapsed_s := perf_counter() - started_s) < wanted_s:
        for _ in range(20):
            work()
        count += 20
    return count, elapsed_s

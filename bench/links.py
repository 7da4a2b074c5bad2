"""What do tracked links cost? HTML of 30 KB with 40 links, of the kind a shop sends: tables in tables, inline styles.

`plan` finds the links, once per content; `kept` is a plan found again for the next message of the same words; `copy`
makes one reader's tokens and joins the pieces; `own` is both for a mail that a template made for one reader.
"""

from collections.abc import Callable, Iterator
from time import perf_counter, process_time
from typing import Final
from uuid import UUID

from bench.lines import Line
from outrider.engine.plans import Cut, Plans
from outrider.mail.link_tokens import Tokens
from outrider.mail.links import Plan, Rewriting, plan_html

_LINKS_COUNT: Final = 40
_HTML_BYTES: Final = 30_000
_CELL: Final = (
    '<tr><td style="padding:8px 16px;border-bottom:1px solid #eee" align="left">'
    '<a href="https://shop.example/p/{0}?ref=nl&amp;pos={0}" target="_blank" style="color:#333;text-decoration:none">'
    '<b>Thing {0}</b></a><br><span style="font-size:12px;line-height:18px">{1}</span>'
    '<table role="presentation" width="100%"><tr><td>&nbsp;</td><td>12.00</td></tr></table></td></tr>'
)
_SENTENCE: Final = (
    "Your order is on its way and will be with you within three working days, at no further cost to you. "
)
_READER: Final = UUID(int=7)


def content(links_count: int = _LINKS_COUNT, html_bytes: int = _HTML_BYTES) -> str:
    """Return HTML of about so many octets."""
    cells = "".join(_CELL.format(number, _SENTENCE * 3) for number in range(links_count))
    style = "td { color: #333 } h1 { margin: 0 }\n"
    bare = f"<html><head><style>{{}}</style></head><body><table>{cells}</table></body></html>"
    return bare.replace("{}", style * max(0, (html_bytes - len(bare)) // len(style)))


def measure(limit: Line, *, is_quick: bool) -> Iterator[Line]:
    """Plan, find again, copy."""
    del limit  # Nothing is signed.
    wanted_s = 0.2 if is_quick else 1.5
    source, cut = content(), Cut(Rewriting(clicks=True, pixel=True))
    tokens, plans = Tokens(b"k" * 32), Plans()
    plan = plans.find(source, cut)

    def copy(made: Plan) -> str:
        return made.written(
            [
                f"https://t.shop.example/t/{tokens.link(_READER, slot.number, slot.target, host='t.shop.example')}"
                for slot in plan.slots
            ]
        )

    parts: dict[str, Callable[[], object]] = {
        "plan": lambda: plan_html(source, cut.rewriting),
        "kept": lambda: plans.find(source, cut),
        "copy": lambda: copy(plan),
        "own": lambda: copy(plan_html(source, cut.rewriting)),
    }
    for label, work in parts.items():
        before_s = process_time()
        count, elapsed_s = _run(work, wanted_s)
        each_us = (process_time() - before_s) / count * 1e6
        facts: dict[str, int | float | str] = {
            "html_bytes": len(source),
            "links": len(plan.slots) - 1,
            "per_link_us": round(each_us / len(plan.slots), 2),
        }
        yield Line(
            name=f"links {label}",
            n=count,
            unit="mail",
            rate=round(count / elapsed_s, 1),
            cpu_us={"links": round(each_us, 1)},
            facts=facts,
        )


def _run(work: Callable[[], object], wanted_s: float) -> tuple[int, float]:
    count, started_s = 0, perf_counter()
    while (elapsed_s := perf_counter() - started_s) < wanted_s:
        for _ in range(20):
            work()
        count += 20
    return count, elapsed_s

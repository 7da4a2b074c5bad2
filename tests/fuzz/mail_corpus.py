"""Mails as shops, offices and Outlook send them, each with one oddity in its middle; all of our own writing.

A frame is a whole mail with a hole; an oddity is what stands in it. They are paired in turn, so that what an oddity
does to the rest of a mail shows: each frame has links before and behind its hole. All targets of a mail differ, so that
sets of them tell all. Where a browser and we differ, tests/data/mail_oddities.toml says why.
"""

import tomllib
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec

SHOP: Final = "https://shop.example"
HOLE: Final = "@hole@"
_DATA: Final = Path(__file__).parents[1] / "data"
FRAMES: Final = {
    path.stem[2:]: path.read_bytes().decode("utf-8") for path in sorted((_DATA / "mail_frames").glob("*.html"))
}


class Mail(msgspec.Struct, frozen=True):
    """One mail, or what is odd about one, and where a browser and we differ about its links."""

    name: str
    html: str
    ours: frozenset[str] = frozenset()
    theirs: frozenset[str] = frozenset()
    why: str = ""


class _Written(msgspec.Struct, frozen=True):
    oddity: list[Mail]
    whole: list[Mail]


def mails() -> list[Mail]:
    """Return all of them, in an order that stays."""
    written = msgspec.convert(tomllib.loads((_DATA / "mail_oddities.toml").read_text("utf-8")), _Written)
    return [
        *(
            msgspec.structs.replace(odd, html=frame.replace(HOLE, odd.html))
            for odd, frame in zip([*written.oddity, *_long_ones()], cycle(FRAMES.values()), strict=False)
        ),
        *written.whole,
    ]


def newsletter_of(bytes_min: int) -> Mail:
    """Return a newsletter of so many octets."""
    frame = FRAMES["newsletter"]
    block = frame[frame.index('<td class="col"') : frame.index("</td>", frame.index('<td class="col"')) + 5]
    count = bytes_min // len(block) + 1
    blocks = (block.replace("/p/", f"/p/{number}/") for number in range(1, count + 1))
    return Mail("large", frame.replace(HOLE, f"<table><tr>{''.join(blocks)}</tr></table>"))


def digest_of(links_count: int) -> Mail:
    """Return a mail of so many links."""
    lines = (f'<li><a href="{SHOP}/n/{number}?a=1&amp;b={number}">{number}</a>' for number in range(links_count))
    return Mail("digest", f"<html><body><ul>{''.join(lines)}</ul></body></html>")


def _long_ones() -> list[Mail]:
    deep = "<table><tr><td>" * 30 + f'<a href="{SHOP}/o/deep">x</a>' + "</td></tr></table>" * 30
    long = "&amp;".join(f"k{number}=value{number}" for number in range(140))
    too_long = f"{SHOP}/o/{'x' * 7000}"
    hidden = f'<span style="display:none!important;mso-hide:all;font-size:1px">{"&#8199;&#65279;&#847; " * 90}</span>'
    return [
        Mail("tables_in_tables", deep),
        Mail("long_address", f'<a href="{SHOP}/o/long?{long}">x</a>'),
        Mail(
            "address_too_long",
            f'<a href="{too_long}">x</a><a href="{SHOP}/o/after">y</a>',
            theirs=frozenset({too_long}),
            why="a token holds 6,000 octets",
        ),
        Mail("hidden_preheader", f'{hidden}<a href="{SHOP}/o/after">x</a>'),
    ]

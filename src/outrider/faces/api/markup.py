"""Tells HTML from plain text, for callers that send both in one field.

A text is HTML if it has something that only HTML has: a doctype, a comment, a closing tag, or an opening tag of a
known element whose inside is empty or looks like attributes. Angle brackets of prose and mail addresses are not that.
"""

import re
from typing import Final

SEARCHED_CHARS_MAX: Final = 256 * 1024  # Ours: markup begins early; bounds what a hostile text costs (< 20 ms).

# Elements that occur in mail. A name here must not be a likely word right after "<" in prose.
_ELEMENTS: Final = (
    "a abbr address article aside b big blockquote body br button caption center code col colgroup dd del details div "
    "dl dt em figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins label li "
    "link main mark meta nav ol option p pre q s script section select small span strike strong style sub summary sup "
    "table tbody td textarea tfoot th thead title tr tt u ul video"
)
# Possessive quantifiers: no text makes the search go back over what it has read.
_TAG: Final = re.compile(
    r"<(?:!doctype\s|!--"
    r"|/[a-z][a-z0-9:-]*+\s*+>"
    rf"|(?:{'|'.join(_ELEMENTS.split())})(?:\s*+/?>|\s++[a-z][^\s<>=]*+\s*+=[^<>]*+>))",
    re.IGNORECASE,
)


def looks_like_html(content: str) -> bool:
    """Return whether `content` is HTML rather than plain text."""
    return "<" in content and _TAG.search(content, 0, SEARCHED_CHARS_MAX) is not None

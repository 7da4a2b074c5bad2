"""Hosts in any script, as DNS has them: of domains that people type and of links in mail.

What IDNA 2008 does not allow (emoji, underscores beside other scripts) is refused though browsers take some of it:
what we guess wrong leads to a stranger. Source: RFC 5891, UTS #46 (not transitional: "faß.de" is not "fass.de").
"""

import idna

from outrider.base import limits


def to_alabels(host: str) -> str | None:
    """Return a host as lower-case A-labels, a dot at its end kept; None: IDNA does not allow it."""
    if len(host) > limits.DOMAIN_NAME_CHARS_MAX:  # The library's work grows faster than the name.
        return None
    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # IDNAError is one, and the library lets others through.
        return None

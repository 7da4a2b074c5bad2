"""The organizational domain: the registered name above a host, by the public suffix list.

`mail.shop.example.co.uk` and `example.co.uk` belong together, `a.github.io` and `b.github.io` do not. The list comes
with its package; a top-level name that is not on it counts as a suffix of one label (the list's own "*" rule).
Source: RFC 7489 §3.2.
"""

import functools

from publicsuffixlist import PublicSuffixList


def of(domain: str) -> str:
    """Return the organizational domain of a lower-case A-label name; a public suffix is its own.

    Cost: 30 ms the first time, when the list is read; some microseconds after that.
    """
    return _suffixes().privatesuffix(domain) or domain


def is_public_suffix(domain: str) -> bool:
    """Tell whether others register names below it: nobody may send from it, or own it."""
    return _suffixes().is_public(domain)


def has_known_suffix(domain: str) -> bool:
    """Tell whether a name ends in a suffix that is on the list: `shop.co.uk` does, `invoice.pdf` does not."""
    return _suffixes().publicsuffix(domain, accept_unknown=False) is not None


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()

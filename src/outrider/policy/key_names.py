"""What DKIM keys are called: selectors, and names in the operator's zone; what people are told of new ones. Pure.

    o202612r-7f3a  o202612e-7f3a  o202612r2-7f3a
                           a domain that publishes its keys: prefix, month, r (RSA) or e (Ed25519), the domain's mark
    or1  or2  oe1  oe2     one whose keys are in the operator's zone: two names each, to take turns on

The first are new ones each time, so a key never comes where receivers remember another: not after a rotation, and by
the mark not where a domain was given up and added again, or moves to another project. The second are published once.

Source: RFC 6376 §3.1.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from outrider.mail import dkim

OURS: Final = "o"  # The prefix where a domain has none of its own.
_MARK_CHARS: Final = 4  # Of the domain's row, its random end: one in 65,536 is another's.
_SLOTS: Final = 2  # One in use, one for the next key.
_LETTERS: Final = {dkim.RSA_SHA256: "r", dkim.ED25519_SHA256: "e"}
_prefix: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,19}").fullmatch


def is_prefix(text: str) -> bool:
    """Tell whether selectors may begin with `text`."""
    return _prefix(text) is not None


def host(selector: str, domain: str) -> str:
    """Return where the record of a key is, fully qualified, without the last dot."""
    return f"{selector}._domainkey.{domain}"


def next_name(prefix: str, algorithm: str, domain_id: UUID, taken: Collection[str], now: datetime) -> str:
    """Return a selector for a new key of a domain that publishes its keys itself; none of those in `taken`."""
    first, mark = f"{prefix or OURS}{now:%Y%m}{_LETTERS[algorithm]}", domain_id.hex[-_MARK_CHARS:]
    numbers = ("", *range(2, len(taken) + 2))  # One more than may be taken.
    return next(name for number in numbers if (name := f"{first}{number}-{mark}") not in taken)


def turns(prefix: str, algorithm: str) -> Sequence[str]:
    """Return the selectors on which the keys of a delegated domain take turns."""
    return [f"{prefix or OURS}{_LETTERS[algorithm]}{at}" for at in range(1, _SLOTS + 1)]


def label(selector: str, domain_id: UUID) -> str:
    """Return a key's name within the operator's zone: of the domain's row, as many projects may claim its name."""
    return f"{selector}.{domain_id.hex[16:]}"


def renewal_letter(domain: str, selectors: Sequence[str]) -> tuple[str, str]:
    """Return subject and text of a notice: keys that were made without being asked for wait to be published."""
    lines = "\n".join(f"- TXT at {host(one, domain)}" for one in selectors)
    text = (
        f"The keys of {domain} have signed for as long as the operator lets them, so new ones were made. Publish their"
        f" records; the old keys sign until they are seen, and their records stay:\n\n{lines}\n\n"
        f"`outrider domain dns {domain}` prints them, `outrider domain verify {domain}` looks at once."
    )
    return f"New DKIM keys of {domain} wait to be published", text

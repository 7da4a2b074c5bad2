"""Whether a mail can pass DMARC: the domain of its From against who signs it and where its bounces go. Pure.

    From       news@mail.shop.example
    DKIM       d=mail.shop.example               aligned: the same name
    envelope   ...@bounces.shop.example          aligned, relaxed: the same organizational domain

One aligned name is enough, and a receiver also wants the signature to verify or SPF to pass: that is the keys' and the
records' business. Here only names are judged, so the answer is known before anything is sent. A mail whose From is
aligned with nothing would fail at each receiver that asks, whatever we sign: it is refused, or its From is re-written
(`via`), as the project says.

Source: RFC 7489 §3.1.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from outrider.base import limits
from outrider.mail import orgdomain

_VIA: Final = " via "


class Alignment(msgspec.Struct, frozen=True):
    """Which names of a mail are aligned with its From."""

    dkim: bool
    spf: bool  # The envelope sender's.

    @property
    def can_pass(self) -> bool:
        """DMARC passes if what is aligned verifies."""
        return self.dkim or self.spf


def judge(from_domain: str, *, signers: Collection[str], envelope: str, is_strict: bool = False) -> Alignment:
    """Return what is aligned with a From of `from_domain`. All names are lower-case A-labels.

    Args:
        signers: the domains that sign (d=).
        envelope: the envelope sender's domain; "" for none.
        is_strict: as adkim=s and aspf=s want it; else relaxed, DMARC's default.
    """
    return Alignment(
        any(is_aligned(from_domain, signer, is_strict=is_strict) for signer in signers),
        bool(envelope) and is_aligned(from_domain, envelope, is_strict=is_strict),
    )


def is_aligned(from_domain: str, domain: str, *, is_strict: bool = False) -> bool:
    """Tell whether the two names are one for DMARC: equal, or relaxed of the same organizational domain."""
    if from_domain == domain:  # Nearly always; spares the list of suffixes.
        return True
    if is_strict or orgdomain.is_public_suffix(from_domain):
        return False
    return orgdomain.of(from_domain) == orgdomain.of(domain)


def refusal(from_domain: str) -> str:
    """Return why a From of this domain cannot pass: a sentence without its full stop."""
    return f"nothing of the project's is aligned with {from_domain}, so DMARC would fail"


def via(name: str, project: str) -> str:
    """Return the display name of a re-written From, "Ann via Shop": whose mail it is, and who sends it.

    Both are shortened so that it fits; characters that no header may have are left out, as are angle brackets, which
    could look like an address of its own.
    """
    room = limits.FROM_NAME_CHARS_MAX - len(_VIA)
    sender = _harmless(project)[: room // 2] or "us"
    return f"{_harmless(name)[: room - len(sender)]}{_VIA}{sender}".strip()


def _harmless(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and char not in "<>").strip()

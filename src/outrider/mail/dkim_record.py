"""A DKIM key as DNS publishes it, and how a published one differs from the one that was meant.

    parse(text) -> DkimRecord            raises DkimRecordError: nobody can check a signature with it
    difference(wanted, found) -> Difference     equal, cut off, a few characters off, another key

Texts are compared by their key alone (`p=`, white space left out): a record that says the same with other tags is as
good. Sources: RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463 §4.
"""

import binascii
import difflib
import enum
import re
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from outrider.base import limits
from outrider.mail import txt

RSA: Final = "rsa"
ED25519: Final = "ed25519"
_VERSION: Final = "DKIM1"
_WHITE: Final = re.compile(r"[ \t\r\n]+")
_CUT_CHARS_MIN: Final = 16  # Ours: fewer in a row are a slip of the hand, more a string that was left out.
_COMPARED_CHARS_MAX: Final = 4096  # Ours: a key of 16,384 bits has 2,800; beyond, only equality is looked at.
_ALIKE_RATIO_MIN: Final = 0.9  # Ours: two keys by chance are alike to less than a third.


class DkimRecordError(ValueError):
    """A key record that proves no signature; the text says why, for people, and quotes nothing."""


class DkimRecord(msgspec.Struct, frozen=True):
    """A key record."""

    kind: str  # "rsa", "ed25519", or what else k= says.
    key: str | None  # Base64 without white space; "" is a revoked key, None a record without one.
    hashes: tuple[str, ...] = ("sha256",)
    services: tuple[str, ...] = ("*",)
    is_testing: bool = False  # t=y: verifiers are to treat its mail as unsigned.
    is_strict: bool = False  # t=s: i= must be of the domain itself.


class Match(enum.StrEnum):
    """How a published text relates to the wanted one."""

    EQUAL = "equal"
    CUT = "cut"
    NEAR = "near"
    OTHER = "other"


class Difference(msgspec.Struct, frozen=True):
    """Where two texts part."""

    match: Match
    at: int = 0  # The first character that differs, counted from 1, in the text without white space; 0 if EQUAL.
    wanted: str = ""  # What should be there, a few characters.
    found: str = ""  # What is there; "": it is missing.


def parse(text: str) -> DkimRecord:
    """Read a key record.

    Raises:
        DkimRecordError: it is none.
    """
    try:
        tags = txt.read_tags(text)
    except txt.TagsError as error:
        raise DkimRecordError(str(error)) from error
    if tags.get("v", _VERSION) != _VERSION or ("v" in tags and next(iter(tags)) != "v"):
        raise DkimRecordError("the key record is not a DKIM1 record")
    marks = words_of(tags.get("t", ""))
    return DkimRecord(
        kind=tags.get("k", RSA),
        key=_WHITE.sub("", tags["p"]) if "p" in tags else None,
        hashes=words_of(tags.get("h", "sha256")),
        services=words_of(tags.get("s", "*")),
        is_testing="y" in marks,
        is_strict="s" in marks,
    )


def load(record: DkimRecord) -> RSAPublicKey | Ed25519PublicKey:
    """Return the public key.

    Raises:
        DkimRecordError: it is revoked, cannot be read, is shorter than RFC 8301 allows, or not for mail.
    """
    if "sha256" not in record.hashes:
        raise DkimRecordError("the key record does not allow SHA-256")
    if not {"*", "email"} & set(record.services):
        raise DkimRecordError("the published key is not for mail")
    if record.key is None:
        raise DkimRecordError("the key record has no p=")
    if not record.key:
        raise DkimRecordError("the key is revoked")
    try:
        octets = binascii.a2b_base64(record.key.encode("ascii"), strict_mode=True)
    except ValueError as error:  # Not ASCII, or not base64.
        raise DkimRecordError("p= is not base64") from error
    try:
        if record.kind == ED25519:
            return Ed25519PublicKey.from_public_bytes(octets)
        key = serialization.load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DkimRecordError("the published key cannot be read") from error
    if not isinstance(key, RSAPublicKey):
        raise DkimRecordError("the published key is of another kind than a=")
    if key.key_size < limits.DKIM_RSA_BITS_MIN:
        raise DkimRecordError(f"the published key has under {limits.DKIM_RSA_BITS_MIN} bits")
    return key


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a tag's value that colons part."""
    return tuple(word.strip() for word in text.split(":"))


def difference(wanted: str, found: str) -> Difference:
    """Compare two texts without their white space.

    CUT: `found` is `wanted` less one piece, at an end or within, of at least `_CUT_CHARS_MIN` characters. NEAR: less,
    more or other characters here and there. Symmetric in nothing: the order matters.
    """
    wanted, found = _WHITE.sub("", wanted), _WHITE.sub("", found)
    if wanted == found:
        return Difference(Match.EQUAL)
    start = _shared(wanted, found)
    end = min(_shared(wanted[::-1], found[::-1]), min(len(wanted), len(found)) - start)
    lost, added = wanted[start : len(wanted) - end], found[start : len(found) - end]
    shown = Difference(Match.OTHER, start + 1, lost[:_CUT_CHARS_MIN], added[:_CUT_CHARS_MIN])
    if not added and len(lost) >= _CUT_CHARS_MIN and len(found) >= _CUT_CHARS_MIN:
        return msgspec.structs.replace(shown, match=Match.CUT)
    if max(len(wanted), len(found)) <= _COMPARED_CHARS_MAX and _is_alike(wanted, found):
        return msgspec.structs.replace(shown, match=Match.NEAR)
    return shown


def _shared(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def _is_alike(one: str, other: str) -> bool:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    # The cheap bounds first: the last is quadratic.
    return matcher.real_quick_ratio() >= _ALIKE_RATIO_MIN <= matcher.quick_ratio() and matcher.ratio() >= (
        _ALIKE_RATIO_MIN
    )

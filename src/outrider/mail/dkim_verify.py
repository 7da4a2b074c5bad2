"""Check the DKIM signatures of a message, as a receiver would. Pure: who asks brings the DNS.

For the catch mailbox's page and for tests; nobody's mail is refused on the strength of it. Both canonicalisations, RSA
and Ed25519, SHA-256 only (RFC 8301 §3.1 retires SHA-1), l= and x= are known. Each signature is judged alone, in the
order of the message, the first `limits.DKIM_SIGNATURES_COUNT_MAX` of them.

Never raises for anything a message or a record holds: what cannot be read is `Result.PERMERROR` with the reason. The
reasons are for people who look after the sending; they quote nothing but tags. Sources: RFC 6376 §6, RFC 8463.
"""

import binascii
import enum
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from outrider.base import limits
from outrider.mail import dkim, dkim_record, txt
from outrider.mail.dkim_record import DkimRecordError

FindRecord = Callable[[str, str], str | None]
"""From domain and selector to the TXT record of `selector._domainkey.domain`; None if there is none."""

_REQUIRED: Final = ("v", "a", "b", "bh", "d", "h", "s")
_KEY_TYPES: Final[Mapping[str, str]] = {dkim.RSA_SHA256: "rsa", dkim.ED25519_SHA256: "ed25519"}
_CANONICALISATIONS: Final = frozenset({"simple", "relaxed"})
_WHITE: Final = re.compile(r"[ \t\r\n]+")
_dns_name: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}").fullmatch
_digits: Final = re.compile(r"[0-9]{1,76}", re.ASCII).fullmatch  # RFC 6376 §3.5, l=.


class Result(enum.StrEnum):
    """What became of one signature. Words of RFC 8601 §2.7.1."""

    PASS = "pass"  # noqa: S105 - a result, not a password.
    FAIL = "fail"  # Well-formed, but not of this message or not by this key.
    PERMERROR = "permerror"  # It or its key cannot be used.


class Verification(msgspec.Struct, frozen=True):
    """One signature and whether it holds. Texts are "" where the signature does not say."""

    domain: str
    selector: str
    algorithm: str
    result: Result
    reason: str  # For people; "" when there is nothing to say.

    @property
    def is_valid(self) -> bool:
        """Whether it holds."""
        return self.result is Result.PASS


class _UnusableError(Exception):
    """A signature or key that cannot be used; the text is the reason."""


class _Signature(msgspec.Struct, frozen=True):
    """The tags of a signature field that passed all checks that need no key."""

    tags: Mapping[str, str]
    field: bytes
    names: Sequence[bytes]  # Of h=, in lower case.
    is_header_relaxed: bool
    is_body_relaxed: bool
    signed_bytes: int | None  # l=.


def verify(message: bytes, find_record: FindRecord, *, at: datetime | None = None) -> list[Verification]:
    """Judge each signature of a message, the top one first; [] if it has none.

    Args:
        message: as it was transmitted; one with bare LF throughout is taken as if it had CRLF.
        at: to compare x= with, aware; None takes no signature for expired.

    Cost: one body hash and one public key operation per signature. Raises nothing but what `find_record` does.
    """
    if b"\r\n" not in message:
        message = message.replace(b"\n", b"\r\n")
    fields, body = dkim.split(message)
    ours = [field for field in fields if _name_of(field) == b"dkim-signature"]
    return [_judge(field, fields, body, find_record, at) for field in ours[: limits.DKIM_SIGNATURES_COUNT_MAX]]


def _judge(
    field: bytes, fields: Sequence[bytes], body: bytes, find_record: FindRecord, at: datetime | None
) -> Verification:
    tags: Mapping[str, str] = {}
    try:
        tags = _read_tags(_text_of(field.partition(b":")[2]))
        signature = _read_signature(tags, field)
        _check_times(tags, at)
        key = _find_key(tags, find_record)
        result, reason = _prove(signature, fields, body, key)
    except _UnusableError as error:
        result, reason = Result.PERMERROR, str(error)
    return Verification(tags.get("d", ""), tags.get("s", ""), tags.get("a", ""), result, reason)


def _prove(
    signature: _Signature, fields: Sequence[bytes], body: bytes, key: RSAPublicKey | Ed25519PublicKey
) -> tuple[Result, str]:
    canonical = dkim.canonical_body(body) if signature.is_body_relaxed else _simple_body(body)
    note = ""
    if signature.signed_bytes is not None:
        if signature.signed_bytes > len(canonical):
            raise _UnusableError("l= is more than the body has")
        note = f"only the first {signature.signed_bytes} of {len(canonical)} bytes of the body are signed"
        canonical = canonical[: signature.signed_bytes]
    if not hmac.compare_digest(hashlib.sha256(canonical).digest(), _from_base64(signature.tags["bh"], "bh=")):
        return Result.FAIL, "the body was changed, or hashed otherwise"
    signed = _signed_octets(signature, fields)
    proof = _from_base64(signature.tags["b"], "b=")
    try:
        match key:
            case RSAPublicKey():
                key.verify(proof, signed, padding.PKCS1v15(), hashes.SHA256())
            case _:  # RFC 8463 §3: the hash is what is signed.
                key.verify(proof, hashlib.sha256(signed).digest())
    except InvalidSignature:
        return Result.FAIL, "the signature is not of these header fields, or not by the published key"
    return Result.PASS, note


def _read_signature(tags: Mapping[str, str], field: bytes) -> _Signature:
    """Check what can be checked without the key. Source: RFC 6376 §6.1.1."""
    for name in _REQUIRED:
        if not tags.get(name):
            raise _UnusableError(f"{name}= is missing")
    if tags["v"] != "1":
        raise _UnusableError("v= is not 1")
    if tags["a"] not in _KEY_TYPES:
        raise _UnusableError("a= is not an algorithm in use")
    if not _dns_name(tags["d"]) or not _dns_name(tags["s"]):
        raise _UnusableError("d= or s= cannot be looked up")
    header_form, _, body_form = tags.get("c", "simple").partition("/")
    body_form = body_form or "simple"
    if header_form not in _CANONICALISATIONS or body_form not in _CANONICALISATIONS:
        raise _UnusableError("c= is not a canonicalisation in use")
    names = [name.strip().lower() for name in tags["h"].split(":")]
    if "from" not in names:
        raise _UnusableError("h= leaves out From")
    _, _, identity = tags.get("i", "@" + tags["d"]).rpartition("@")
    if not f".{identity}".lower().endswith(f".{tags['d']}".lower()):
        raise _UnusableError("i= is not in the domain of d=")
    if "dns/txt" not in tags.get("q", "dns/txt").split(":"):
        raise _UnusableError("q= has no way to the key that is in use")
    return _Signature(
        tags=tags,
        field=field,
        names=[name.encode() for name in names],
        is_header_relaxed=header_form == "relaxed",
        is_body_relaxed=body_form == "relaxed",
        signed_bytes=_read_number(tags, "l"),
    )


def _check_times(tags: Mapping[str, str], at: datetime | None) -> None:
    signed_s, expires_s = _read_number(tags, "t"), _read_number(tags, "x")
    if expires_s is None:
        return
    if signed_s is not None and expires_s <= signed_s:
        raise _UnusableError("x= is not later than t=")
    if at is not None and expires_s < at.timestamp():
        raise _UnusableError("the signature has expired")


def _find_key(tags: Mapping[str, str], find_record: FindRecord) -> RSAPublicKey | Ed25519PublicKey:
    """Return the published key if it may prove this signature. Source: RFC 6376 §6.1.2."""
    record = find_record(tags["d"], tags["s"])
    if record is None:
        raise _UnusableError("no key is published")
    try:
        published = dkim_record.parse(record)
        if published.kind != _KEY_TYPES[tags["a"]]:
            raise _UnusableError("the published key is of another kind than a=")
        identity = tags.get("i", "@" + tags["d"]).rpartition("@")[2]
        if published.is_strict and identity.lower() != tags["d"].lower():
            raise _UnusableError("the key record does not allow i= in a subdomain")
        return dkim_record.load(published)
    except DkimRecordError as error:
        raise _UnusableError(str(error)) from error


def _signed_octets(signature: _Signature, fields: Sequence[bytes]) -> bytes:
    """Return what was signed: the fields of h=, each name's from the bottom up, then the field itself without b=."""
    waiting: dict[bytes, list[bytes]] = {}
    for field in fields:
        if field is not signature.field:
            waiting.setdefault(_name_of(field), []).append(field)
    chosen = [waiting[name].pop() for name in signature.names if waiting.get(name)]
    chosen.append(_without_proof(signature.field))
    if signature.is_header_relaxed:
        chosen = [dkim.canonical_field(field) for field in chosen]
    return b"".join(chosen).removesuffix(b"\r\n")


def _without_proof(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    tags = value.removesuffix(b"\r\n").split(b";")
    emptied = [tag[: tag.index(b"=") + 1] if tag.partition(b"=")[0].strip(b" \t\r\n") == b"b" else tag for tag in tags]
    return b"%b:%b\r\n" % (name, b";".join(emptied))


def _simple_body(body: bytes) -> bytes:
    """Return the body in simple form. Source: RFC 6376 §3.4.3."""
    return body[: dkim.end_of_content(body)] + b"\r\n"


def _name_of(field: bytes) -> bytes:
    return field.partition(b":")[0].rstrip(b" \t").lower()


def _text_of(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _read_tags(text: str) -> dict[str, str]:
    try:
        return txt.read_tags(text)
    except txt.TagsError as error:
        raise _UnusableError(str(error)) from error


def _read_number(tags: Mapping[str, str], name: str) -> int | None:
    if name not in tags:
        return None
    if not _digits(tags[name]):
        raise _UnusableError(f"{name}= is not a number")
    return int(tags[name])


def _from_base64(text: str, tag: str) -> bytes:
    try:
        return binascii.a2b_base64(_WHITE.sub("", text).encode("ascii"), strict_mode=True)
    except ValueError as error:  # Not ASCII, or not base64.
        raise _UnusableError(f"{tag} is not base64") from error

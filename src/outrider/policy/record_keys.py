"""What is wrong with a published DKIM key, whether it is published as itself or through a CNAME to the operator's zone.

It passes when receivers read our key there, by whatever way. The usual mistakes have names: a string of the long text
left out, the strings published as several records, quotes taken along, a character lost, a key of before.
"""

import itertools
from collections.abc import Sequence
from typing import Final

from outrider.base.vocab import RecordCause
from outrider.mail import dkim_record
from outrider.mail.dkim_record import DkimRecordError, Match
from outrider.mail.look import Look, Outcome
from outrider.policy.record_finding import (
    Finding,
    Seen,
    failed,
    not_there,
    other_cname,
    passed,
    proxied,
    shown,
    typo,
    unverified,
)
from outrider.policy.records import Wanted

_PIECES_COUNT_MAX: Final = 4  # Ours: a key of 4096 bits has three strings; their orders are tried.
_QUOTING: Final = str.maketrans("", "", '"\\')


def judge(wanted: Wanted, seen: Seen) -> Finding:
    """Judge the key at a host that answered."""
    if wanted.type == "CNAME":
        return _judge_delegated(wanted, seen)
    if seen.look.values:
        return _judge_texts(wanted, seen.look.values)
    return not_there(wanted, seen.look)


def is_ours(wanted: Wanted, text: str) -> bool:
    """Tell whether the text has the wanted key."""
    key = _key_of(wanted)
    try:
        return bool(key) and dkim_record.parse(text).key == key
    except DkimRecordError:
        return False


def _judge_delegated(wanted: Wanted, seen: Seen) -> Finding:
    """Judge a CNAME to the operator's zone, by what receivers read behind it."""
    text = seen.text or Look(wanted.host, "TXT", Outcome.EMPTY)
    found = seen.look.values
    is_ours_way = wanted.value in found or wanted.value in text.chain
    if is_ours_way and not wanted.key:
        return passed(wanted, found or text.chain)  # A name that is kept for the next key.
    if text.outcome.is_temporary:
        return unverified(wanted, text)
    if text.outcome is Outcome.LOOP:
        return failed(wanted, RecordCause.LOOP, "CNAMEs lead in a circle: remove the one that leads back.", text.chain)
    if found and not is_ours_way and not any(is_ours(wanted, value) for value in text.values):
        return other_cname(wanted, found[0])
    if not text.values:
        return _without_text(wanted, seen)
    judged = _judge_texts(wanted, text.values)
    if is_ours_way or judged.cause is not RecordCause.NONE:
        return judged
    return passed(
        wanted,
        text.values,
        cause=RecordCause.FLATTENED,
        advice=f"The key is published as a copy: a CNAME to {wanted.value} would follow when the key changes.",
    )


def _without_text(wanted: Wanted, seen: Seen) -> Finding:
    """Return why no key is found."""
    if seen.look.values:
        return failed(
            wanted,
            RecordCause.TARGET_MISSING,
            f"The CNAME is right, and {wanted.value} has no key yet: its zone is the operator's to publish.",
            seen.look.values,
        )
    return proxied(wanted, seen.addresses) or not_there(wanted, seen.look)


def _judge_texts(wanted: Wanted, texts: Sequence[str]) -> Finding:
    if len(texts) == 1:
        return _judge_text(wanted, texts[0])
    pieces = [text.translate(_QUOTING) for text in texts]
    orders = itertools.permutations(pieces) if len(pieces) <= _PIECES_COUNT_MAX else ()
    if any(is_ours(wanted, "".join(order)) for order in orders):
        return failed(
            wanted,
            RecordCause.SEVERAL,
            f"The text is split into {len(texts)} records: publish it as one, which may have several strings.",
            texts,
        )
    return failed(
        wanted,
        RecordCause.SEVERAL,
        f"There are {len(texts)} TXT records where receivers take one: keep the one with our key.",
        texts,
    )


def _judge_text(wanted: Wanted, text: str) -> Finding:
    key = _key_of(wanted)
    if not key:
        return failed(
            wanted,
            RecordCause.OTHER_VALUE,
            f"A key that is not ours is published: replace it by {wanted.value}.",
            [text],
        )
    try:
        record = dkim_record.parse(text)
    except DkimRecordError as error:
        return _unreadable(wanted, text, str(error))
    if record.key is None:
        return _unreadable(wanted, text, "it has no p=")
    if not record.key:
        return failed(
            wanted, RecordCause.REVOKED, "The record has no key (p= is empty), which means it is revoked.", [text]
        )
    difference = dkim_record.difference(key, record.key)
    match difference.match:
        case Match.CUT:
            return failed(
                wanted,
                RecordCause.TRUNCATED,
                f"The key is cut: {len(key) - len(record.key)} of its {len(key)} characters are missing from character "
                f"{difference.at} on; publish all strings of the text in one record.",
                [text],
            )
        case Match.NEAR:
            return failed(wanted, RecordCause.TYPO, typo(key, record.key), [text])
        case Match.OTHER:
            return failed(
                wanted,
                RecordCause.OTHER_VALUE,
                f"Another key is published: replace it with that of {wanted.host}.",
                [text],
            )
        case Match.EQUAL:
            return _judge_tags(wanted, record, text)


def _judge_tags(wanted: Wanted, record: dkim_record.DkimRecord, text: str) -> Finding:
    """Judge what stands beside the right key."""
    kind = dkim_record.parse(_text_of(wanted)).kind
    if record.kind != kind:
        return failed(
            wanted, RecordCause.TYPO, f"The key is right and k={shown(record.kind)} is not: it is k={kind}.", [text]
        )
    try:
        dkim_record.load(record)
    except DkimRecordError as error:
        return failed(wanted, RecordCause.SYNTAX, f"Receivers cannot use the record: {error}.", [text])
    if record.is_testing:
        return passed(
            wanted,
            [text],
            cause=RecordCause.TOO_OPEN,
            advice="t=y says that the key is only tested, so receivers treat the mail as unsigned: take it out.",
        )
    return passed(wanted, [text])


def _unreadable(wanted: Wanted, text: str, reason: str) -> Finding:
    whole = _text_of(wanted)
    bare = text.translate(_QUOTING)
    if bare != text and is_ours(wanted, bare):
        return failed(
            wanted,
            RecordCause.SYNTAX,
            "Quotes or backslashes are part of the text: publish it without them.",
            [text],
        )
    match dkim_record.difference(whole, bare).match:
        case Match.CUT:
            return failed(
                wanted,
                RecordCause.TRUNCATED,
                "A string of the text is missing: publish all of them in one record.",
                [text],
            )
        case Match.NEAR:
            return failed(wanted, RecordCause.TYPO, typo(whole, bare), [text])
        case _:
            return failed(
                wanted, RecordCause.SYNTAX, f"Receivers cannot read the record: {reason}; replace its text.", [text]
            )


def _key_of(wanted: Wanted) -> str:
    """Return the wanted key in base64; "" if there is none yet."""
    return (dkim_record.parse(text).key or "") if (text := _text_of(wanted)) else ""


def _text_of(wanted: Wanted) -> str:
    return wanted.key or (wanted.value if wanted.type == "TXT" else "")

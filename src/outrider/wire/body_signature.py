"""uSpeedo's signed calls: what the secret makes of a JSON body. Pure.

    sign({"Action": "SendEmail", "AccountId": 1}, "SK")    SHA-1 of "AccountId1ActionSendEmailSK", in hex

Each key in ascending order, then its value: text as it is, a number in decimal, `true` or `false`, a list's elements
one after the other, an object like the whole; then the secret. `PublicKey` and `Signature`, which the PHP client adds
to the body once it is signed, are left out.

Danger: there are no separators, so bodies that differ can have one signature, and neither timestamp nor nonce are part
of it. We verify the scheme for clients that are there and do not extend it; whoever can choose uses a pair or a token.

Source: shared/uspeedo.md 2; `uspeedo-sdk-py` 1.5.1 (the oracle of the tests).
"""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from outrider.base.errors import CallerError

_DEPTH_COUNT_MAX: Final = 32  # Ours: a call's body has three levels.
_VALUES_COUNT_MAX: Final = 100_000  # Ours: 100 recipients with 900 variables each; some 20 ms.
_UNSIGNED: Final = ("PublicKey", "Signature")

_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def read(body: bytes) -> dict[str, object]:
    """Return the object that a body holds; an empty body is an empty one.

    Raises:
        CallerError: field "Body": it is none.
    """
    if not body:
        return {}
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CallerError("The body of a signed call must be a JSON object.", field="Body") from None


def sign(body: Mapping[str, object], secret: str) -> str:
    """Return the signature: 40 lower-case hex digits.

    Raises:
        CallerError: field "Body": it is nested more deeply, or has more values, than any call.
    """
    signed = {name: value for name, value in body.items() if name not in _UNSIGNED}
    words = list(islice(_words(signed, _DEPTH_COUNT_MAX), 2 * _VALUES_COUNT_MAX + 1))  # With their names.
    if len(words) > 2 * _VALUES_COUNT_MAX:
        raise CallerError("The body holds too many values.", field="Body")
    text = "".join(words) + secret
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _words(value: object, depth_left: int) -> Iterator[str]:
    if not depth_left:
        raise CallerError("The body is nested too deeply.", field="Body")
    match value:
        case str():
            yield value
        case bool():
            yield "true" if value else "false"
        case dict():
            yield ""  # So that an empty one counts.
            for name in sorted(value):
                yield name
                yield from _words(value[name], depth_left - 1)
        case list():
            yield ""
            for element in value:
                yield from _words(element, depth_left - 1)
        case _:  # A number; and None, which the client writes as Python does.
            yield str(value)

"""What does a recipient's signature cost, all in? RSA, Ed25519, both, and the body hash, in one thread.

The message is prepared once, as for a call with many recipients; each round adds To and Message-ID and signs.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.lines import Line
from outrider.mail import address, build, dkim
from outrider.mail.dkim import SigningKey
from outrider.testing.load import make_content

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def measure(limit: Line, *, is_quick: bool) -> Iterator[Line]:
    """Sign for a while with each set of keys."""
    draft = build.compose(
        sender=address.parse("noreply@shop.example"),
        from_name="Example Shop",
        subject="Your Order Confirmation",
        text=None,
        html=make_content("3k"),
        date=_AT,
    )
    to = address.parse("u00000042@route2.example")
    body_hash = dkim.body_hash(draft.body)
    wanted_s = 0.3 if is_quick else 1.5
    for label, keys in _key_sets().items():
        prepared = dkim.prepare(draft.fields, body_hash, keys)

        def sign(prepared: dkim.Prepared = prepared) -> None:
            prepared.sign(draft.fields_for(to, "0197a000@shop.example"), _AT)

        count, elapsed_s = _run(sign, wanted_s)
        yield Line(
            name=f"dkim {label}",
            n=count,
            unit="message",
            rate=round(count / elapsed_s, 1),
            cpu_us={"sign": round(elapsed_s / count * 1e6, 1)},
            rsa_ratio=round(count / elapsed_s / limit.rate, 3),
        )
    count, elapsed_s = _run(lambda: dkim.body_hash(draft.body), wanted_s)
    yield Line(name="dkim body_hash 3k", n=count, unit="body", rate=round(count / elapsed_s, 1))


def _run(work: Callable[[], object], wanted_s: float) -> tuple[int, float]:
    count, started_s = 0, perf_counter()
    while (elapsed_s := perf_counter() - started_s) < wanted_s:
        for _ in range(20):
            work()
        count += 20
    return count, elapsed_s


def _key_sets() -> dict[str, list[SigningKey]]:
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    rsa_pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(*plain)
    rsa_key = dkim.load_key("shop.example", "r1", rsa_pem)
    ed_key = dkim.load_key("shop.example", "e1", ed25519.Ed25519PrivateKey.generate().private_bytes(*plain))
    return {"rsa": [rsa_key], "ed25519": [ed_key], "rsa+ed25519": [rsa_key, ed_key]}

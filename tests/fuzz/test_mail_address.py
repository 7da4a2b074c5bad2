"""Whatever people type: an address that is stable and safe to write, or a refusal with a reason."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import address
from outrider.mail.address import Address

# fmt: off
PIECES = st.sampled_from([
    "a", "B", "ü", "用", "e\u0301", "1", "-", "_", ".", "..", "@", '"', "\\", " ", ",", "<", ">", "(", "%",
    "xn--", "\r\n", "\x00", "@x.example", ".example", "bücher", "\u200d", "\u3002", "\u037e", "\u2100",
    "\ud800", "ß", "\u0130", "=?", "*",
])
# fmt: on
TYPED = st.one_of(
    st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join), st.emails(), st.from_regex(r"\S+@\S+\.\S+")
)
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def parsed(text: str) -> Address | None:
    try:
        return address.parse(text)
    except CallerError:
        return None


@given(TYPED)
@example("a@xn--.example")
@example("a@\u3002.example")
@example('"\u0340"@x.example')
def test_an_address_is_refused_or_stable_and_within_all_limits(text: str) -> None:
    found = parsed(text)
    if found is None:
        return
    assert address.parse(found.text) == found
    assert address.parse(found.text).key == found.key
    assert found.text.isprintable()
    assert len(found.text.encode()) <= limits.ADDRESS_BYTES_MAX
    assert len(found.local.encode()) <= limits.LOCAL_PART_BYTES_MAX
    assert DOMAIN.fullmatch(found.domain)
    assert address.parse_domain(found.domain) == found.domain
    if not found.local.startswith('"'):
        assert not set(found.local) & set('()<>[]:;@\\," ')


@given(st.from_regex(r"[a-z0-9.+_-]{1,30}@[a-z0-9.-]{1,40}", fullmatch=True))
def test_the_quick_way_and_the_full_one_agree(text: str) -> None:
    # Quotes force the full grammar; around a dot-atom they are dropped again.
    local, _, domain = text.partition("@")
    quick = parsed(text)
    if quick is not None:
        assert parsed(f'"{local}"@{domain.upper()}') == quick
    assert (quick is None) == (parsed(f"{local}@{domain.upper()}") is None)


@given(st.text(max_size=60))
def test_a_domain_is_refused_or_stable(text: str) -> None:
    try:
        name = address.parse_domain(text)
    except CallerError:
        return
    assert DOMAIN.fullmatch(name)
    assert address.parse_domain(name) == name

"""Terms of tracking: who says what, and what happens to a message."""

import msgspec
import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream, TrackedMail
from outrider.policy.tracking import NOTHING, Terms, check_links, decide, host_pattern, merged, normalised


def test_nobody_has_said_anything() -> None:
    for stream in Stream:
        decided = decide(NOTHING, stream)
        assert (decided.changes_content, decided.honey_link) == (False, False)
        assert decided.footer is (stream is Stream.MARKETING)


def test_a_domain_has_the_last_word_where_it_says_something() -> None:
    project = Terms(opens=TrackedMail.ALL, clicks=TrackedMail.MARKETING, utm={"utm_source": "mail"})
    domain = Terms(opens=TrackedMail.OFF, excluded_hosts=["pay.example"])
    both = merged(project, domain)
    assert (both.opens, both.clicks, both.utm) == (TrackedMail.OFF, TrackedMail.MARKETING, {"utm_source": "mail"})
    assert both.excluded_hosts == ["pay.example"]
    assert merged(project, NOTHING) is project


@pytest.mark.parametrize(
    ("said", "stream", "own", "wanted"),
    [
        (None, Stream.MARKETING, None, False),
        (TrackedMail.OFF, Stream.MARKETING, None, False),
        (TrackedMail.MARKETING, Stream.MARKETING, None, True),
        (TrackedMail.MARKETING, Stream.TRANSACTIONAL, None, False),
        (TrackedMail.ALL, Stream.TRANSACTIONAL, None, True),
        (TrackedMail.ALL, Stream.TRANSACTIONAL, False, False),
        (None, Stream.TRANSACTIONAL, True, True),
    ],
)
def test_a_message_has_its_own_word(said: TrackedMail | None, stream: Stream, own: bool | None, wanted: bool) -> None:
    terms = Terms(opens=said, clicks=said)
    decided = decide(terms, stream, opens=own, clicks=own)
    assert (decided.opens, decided.clicks, decided.changes_links) == (wanted, wanted, wanted)


def test_utm_parameters_take_the_mails_own_words() -> None:
    terms = Terms(utm={"utm_campaign": "{campaign}", "utm_medium": "mail", "utm_content": "{stream}"})
    assert decide(terms, Stream.MARKETING, campaign="june").utm == (
        ("utm_campaign", "june"),
        ("utm_medium", "mail"),
        ("utm_content", "marketing"),
    )
    assert ("utm_campaign", "") not in decide(terms, Stream.MARKETING).utm
    within = Terms(utm={"utm_campaign": "{campaign}-{stream}-nov"})
    assert decide(within, Stream.MARKETING, campaign="{stream}").utm == (("utm_campaign", "{stream}-marketing-nov"),)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("shop.example", "shop.example"),
        ("Shop.Example.", "shop.example"),
        ("*.M\u00fcller.example", "*.xn--mller-kva.example"),
        ("m\u00fcller.example\u3002", "xn--mller-kva.example"),
        ("shop_x.example", "shop_x.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        *(
            (wrong, None)
            for wrong in ("https://pay.example", "bank.example:8443", "a.example/x", "a\x00b", "a b", " a")
        ),
        *(
            (wrong, None)
            for wrong in ("", "*", "*.", "*.*.example", "a..example", ".", "*.[::1]", "\U0001f355.example")
        ),
        ("*." + "a." * 125 + "ab", None),
    ],
)
def test_a_pattern_is_held_against_hosts_as_dns_has_them(text: str, pattern: str | None) -> None:
    assert host_pattern(text) == pattern
    assert host_pattern(pattern or "a") == (pattern or "a")
    terms = Terms(excluded_hosts=[text])
    assert normalised(terms).excluded_hosts == [pattern or text]
    if pattern is None:
        with pytest.raises(CallerError, match=r"no scheme, port or path") as refused:
            check_links(terms)
        assert refused.value.field == "excluded_hosts"
    else:
        check_links(terms)


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        ("{campaign}-nov", True),
        ("{stream}{campaign} \u00fc%", True),
        *(
            (wrong, False)
            for wrong in ("{nope}", "{campaign}-{nope}", "{ campaign }", "{{campaign}}", "}", "", "a\x00b")
        ),
    ],
)
def test_what_would_say_something_else_of_links_is_refused(value: str, is_taken: bool) -> None:
    terms = Terms(utm={"utm_campaign": value})
    if is_taken:
        check_links(terms)
        return
    with pytest.raises(CallerError, match=r"utm_campaign") as refused:
        check_links(terms)
    assert refused.value.field == "utm"


def test_a_honey_link_stands_only_beside_tracked_links() -> None:
    assert not decide(Terms(honey_link=True), Stream.MARKETING).honey_link
    assert decide(Terms(honey_link=True, clicks=TrackedMail.ALL), Stream.MARKETING).honey_link


def test_what_is_stored_is_only_what_was_said() -> None:
    assert msgspec.json.encode(NOTHING) == b"{}"
    assert msgspec.json.decode(b'{"opens":"all","footer":false}', type=Terms) == Terms(
        opens=TrackedMail.ALL, footer=False
    )
    with pytest.raises(msgspec.ValidationError, match=r"utm"):
        msgspec.json.decode(b'{"utm":{"source":"x"}}', type=Terms)

"""Limits that must fit each other. Their names and sources: tests/tidy/test_limits.py."""

from outrider.base import limits


def test_every_limit_is_a_positive_number() -> None:
    numbers = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(numbers) > 20
    assert {name for name, value in numbers.items() if not isinstance(value, int | float) or value <= 0} == set()


def test_an_address_fits_into_its_parts() -> None:
    assert limits.LOCAL_PART_BYTES_MAX < limits.ADDRESS_BYTES_MAX < limits.LOCAL_PART_BYTES_MAX + 1 + 255
    assert limits.LABEL_BYTES_MAX < limits.DOMAIN_NAME_CHARS_MAX


def test_a_request_holds_the_content_it_may_carry() -> None:
    assert limits.REQUEST_BODY_BYTES_MAX > limits.CONTENT_BYTES_MAX


def test_a_reply_we_keep_fits_into_what_we_read() -> None:
    assert limits.REPLY_TEXT_CHARS_KEPT_MAX <= limits.REPLY_LINE_BYTES_MAX


def test_a_message_lives_through_many_retries() -> None:
    assert limits.MESSAGE_LIFE_S_MAX >= 10 * limits.RETRY_DELAY_S_MAX


def test_dns_bounds_are_in_order() -> None:
    assert limits.DNS_TTL_S_MIN <= limits.DNS_FAILURE_TTL_S <= limits.DNS_NEGATIVE_TTL_S_MAX < limits.DNS_TTL_S_MAX
    assert limits.DNS_STALE_TTL_S < limits.DNS_STALE_S_MAX

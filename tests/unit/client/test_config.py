import pytest

from outrider.client.config import Patience, Place, authorization, place
from outrider.client.errors import SetupError


@pytest.mark.parametrize(
    ("url", "wanted", "origin"),
    [
        ("http://127.0.0.1:8025", Place(False, "127.0.0.1", 8025, "/v1"), "http://127.0.0.1:8025"),
        ("https://mail.example.com/", Place(True, "mail.example.com", 443, "/v1"), "https://mail.example.com:443"),
        ("http://a.example/outrider/v1/", Place(False, "a.example", 80, "/outrider/v1"), "http://a.example:80"),
        ("HTTP://[::1]:8025", Place(False, "::1", 8025, "/v1"), "http://[::1]:8025"),
    ],
)
def test_where_it_is(url: str, wanted: Place, origin: str) -> None:
    found = place(url, {})
    assert (found, found.origin) == (wanted, origin)
    assert place(None, {"OUTRIDER_URL": url}) == wanted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "ftp://a.example",
        "http://",
        "http://a.example:99999",
        "http://a.example:x",
        "http://id:secret@a.example",
        "http://a.example/?a=b",
        "http://a.example/#a",
        "http://a.example/ b",
        "http://a.example\r\nX: y",
        "http://bücher.example",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(SetupError) as caught:
        place(url, {"OUTRIDER_URL": "http://never-asked.example"})
    assert "secret" not in str(caught.value)


def test_nowhere_is_told_how_to_say_it() -> None:
    with pytest.raises(SetupError, match="OUTRIDER_URL"):
        place(None, {})
    with pytest.raises(SetupError, match="OUTRIDER_API_KEY"):
        authorization(None, {})


@pytest.mark.parametrize(
    ("key", "wanted"),
    [("id.secret", "Bearer id.secret"), ("id:secret", "Basic aWQ6c2VjcmV0"), (" id.secret\n", "Bearer id.secret")],
)
def test_a_key_in_each_of_its_forms(key: str, wanted: str) -> None:
    assert authorization(key, {}) == authorization(None, {"OUTRIDER_API_KEY": key}) == wanted


@pytest.mark.parametrize("key", ["", " ", "id.se cret", "id.secret\r\nX: y", "id.sécret", "id.\0secret"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(SetupError) as caught:
        authorization(key, {"OUTRIDER_API_KEY": "id.other"})
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"retries_max": -1}, {"try_s": 0.0}, {"total_s": -1.0}, {"silence_s": 0.0}])
def test_patience_has_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(SetupError):
        Patience(**wrong)  # type: ignore[arg-type]

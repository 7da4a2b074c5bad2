"""The router: which row a path leads to, and what its parts may be."""

from uuid import UUID

import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import KeyScope
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.routes import Act, Found, Route, Router, WrongMethodError, bind

ID = UUID("0197a000-0000-7000-8000-00000000beef")


async def plain(call: Call) -> None:
    """Do nothing."""


async def by_id(call: Call, id: UUID) -> None:  # noqa: A002
    """Do nothing."""


async def by_number(call: Call, id: UUID, number: int) -> None:  # noqa: A002
    """Do nothing."""


async def by_text(call: Call, word: str) -> None:
    """Do nothing."""


def row(method: str, path: str, act: Act) -> Route:
    return Route(method=method, path=path, act=act, scope=KeyScope.READ, tag="T")


ROUTER = Router(
    [
        row("GET", "/things", plain),
        row("POST", "/things", plain),
        row("GET", "/things/{id}", by_id),
        row("DELETE", "/things/{id}", by_id),
        row("POST", "/things/batch", plain),
        row("GET", "/things/{id}/parts/{number}", by_number),
        row("GET", "/words/{word}", by_text),
    ]
)


def find(method: str, path: str) -> Found:
    return ROUTER.find(method, f"/v1{path}".encode())


@pytest.mark.parametrize(
    ("method", "path", "pattern", "arguments"),
    [
        ("GET", "/things", "/things", {}),
        ("POST", "/things/batch", "/things/batch", {}),
        ("DELETE", f"/things/{ID}", "/things/{id}", {"id": ID}),
        ("GET", f"/things/{str(ID).upper()}", "/things/{id}", {"id": ID}),
        ("GET", f"/things/{ID}/parts/007", "/things/{id}/parts/{number}", {"id": ID, "number": 7}),
        ("GET", "/words/%C3%A4.b%20c", "/words/{word}", {"word": "ä.b c"}),
        ("GET", "/words/ä", "/words/{word}", {"word": "ä"}),
        ("GET", "/words/a%2Fb", "/words/{word}", {"word": "a/b"}),
        ("GET", "/words/%2f", "/words/{word}", {"word": "/"}),
        ("GET", "/words/a%252Fb", "/words/{word}", {"word": "a%2Fb"}),
        ("GET", "/words/100%", "/words/{word}", {"word": "100%"}),
        ("GET", "/things/", "/things", {}),
        ("GET", "//words//x/", "/words/{word}", {"word": "x"}),
    ],
)
def test_a_path_leads_to_its_row(method: str, path: str, pattern: str, arguments: dict[str, object]) -> None:
    found = find(method, path)
    assert (found.bound.route.path, found.bound.route.method, dict(found.arguments)) == (pattern, method, arguments)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/things", ("GET", "POST")),
        ("PATCH", f"/things/{ID}", ("DELETE", "GET")),
        ("HEAD", "/words/x", ("GET",)),
    ],
)
def test_another_method_is_told_which_there_are(method: str, path: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(WrongMethodError) as caught:
        find(method, path)
    assert (caught.value.allowed, caught.value.status) == (allowed, 405)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/thing",
        "/things//parts/1",
        "/words/",
        f"/things/{ID}/parts",
        f"/things/{ID}/parts/1/2",
        f"/things/{ID}/parts%2F1",
        f"/things%2F{ID}",
        "%2Fthings",
        "/words%2Fx",
    ],
)
def test_nothing_lives_elsewhere(path: str) -> None:
    with pytest.raises(NotFoundError, match="no such call"):
        find("GET", path)


@pytest.mark.parametrize("raw_path", [b"/v1/words/%FF", b"/v1/words/%C3", b"/v1/%FF", b"/v1/words/\xff"])
def test_a_path_that_is_not_utf_8_is_refused(raw_path: bytes) -> None:
    with pytest.raises(CallerError, match="percent-encoded UTF-8"):
        ROUTER.find("GET", raw_path)


@pytest.mark.parametrize("part", ["x", f"{{{ID}}}", str(ID).replace("-", ""), f"urn:uuid:{ID}", f"{ID}\n"])
def test_what_is_no_id_names_nothing(part: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find("GET", f"/things/{part}")
    assert caught.value.field == "id"


@pytest.mark.parametrize("part", ["-1", "1.0", "９", "9" * 30, "x"])
def test_what_is_no_number_names_nothing(part: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find("GET", f"/things/{ID}/parts/{part}")
    assert caught.value.field == "number"


def test_two_rows_of_one_path_and_method_are_a_mistake_of_ours() -> None:
    for path, act in (("/things", plain), ("/things/{id}", by_id)):
        with pytest.raises(AssertionError):
            Router([row("GET", path, act), row("GET", path, act)])


def test_a_function_that_does_not_take_its_path_is_a_mistake_of_ours() -> None:
    for path, act in (("/things/{id}", plain), ("/things", by_id), ("/words/{id}", by_text)):
        with pytest.raises(AssertionError):
            bind(row("GET", path, act))

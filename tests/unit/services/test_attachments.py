"""Files as callers give them: decoded, fetched, named and typed; and refused with their place."""

import base64
from typing import Any

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.net.http import Fetched
from outrider.services.attachments import Attachments, Given

PNG = b"\x89PNG\xff\xfe"


class Shelf:
    """A `Fetcher` with a few files."""

    def __init__(self, **files: Fetched) -> None:
        self.files = files
        self.left_bytes: list[int] = []

    async def fetch(self, url: str, *, bytes_max: int, field: str) -> Fetched:
        self.left_bytes.append(bytes_max)
        found = self.files.get(url.rpartition("/")[2].partition("?")[0])
        if found is None:
            raise CallerError("It could not be fetched.", field=field)
        return found


def files(shelf: Shelf | None = None) -> Attachments:
    return Attachments(shelf or Shelf())  # type: ignore[arg-type]


def written(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@pytest.mark.parametrize(
    "text",
    [
        written(PNG),
        written(PNG).rstrip("="),
        base64.urlsafe_b64encode(PNG).decode(),
        "\r\n".join((written(PNG)[:4], written(PNG)[4:])),
    ],
)
async def test_base64_of_any_kind_is_decoded(text: str) -> None:
    (file,) = await files().resolve([Given(name="logo.png", content=text, content_id="logo")])
    assert (file.name, file.type, file.content, file.content_id) == ("logo.png", "image/png", PNG, "logo")


async def test_an_empty_file_is_a_file() -> None:
    (file,) = await files().resolve([Given(name="empty.csv", content="")])
    assert (file.name, file.type, file.content) == ("empty.csv", "text/csv", b"")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (Given(name="a"), "attachments[1]"),
        (Given(name="a", content="eA==", url="https://a.example/a"), "attachments[1]"),
        (Given(name="a", content="not base64!"), "attachments[1].content"),
        (Given(name="a", content="ü"), "attachments[1].content"),
        (Given(name="a", content="eA==eA=="), "attachments[1].content"),
        (Given(content="eA=="), "attachments[1].name"),
        (Given(name="a", url="https://a.example/none"), "attachments[1].url"),
    ],
)
async def test_what_is_wrong_is_named(given: Given, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        await files().resolve([Given(name="ok", content="eA=="), given])
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "name", "kind"),
    [
        (Given(url="https://a.example/x/logo.png?size=2"), "logo.png", "image/webp"),
        (Given(url="https://a.example/x/logo.png", type="image/png"), "logo.png", "image/png"),
        (Given(url="https://a.example/x/logo.png", name="mine.gif"), "mine.gif", "image/webp"),
        (Given(url="https://a.example/x/plain"), "plain", "application/octet-stream"),
        (Given(url="https://a.example/x/plain", content=""), "plain", "application/octet-stream"),
    ],
)
async def test_a_fetched_file_is_named_by_its_url_and_typed_by_its_server(given: Given, name: str, kind: str) -> None:
    shelf = Shelf(**{"logo.png": Fetched(PNG, "image/webp"), "plain": Fetched(b"x", "")})
    (file,) = await files(shelf).resolve([given])
    assert (file.name, file.type) == (name, kind)


async def test_files_share_what_is_left_of_the_size() -> None:
    shelf = Shelf(a=Fetched(b"x" * 1000, ""))
    await files(shelf).resolve([Given(name="a", content=written(b"y" * 5000)), *[Given(url="https://a.example/a")] * 2])
    assert shelf.left_bytes == [limits.ATTACHMENTS_BYTES_MAX - 5000, limits.ATTACHMENTS_BYTES_MAX - 6000]


@pytest.mark.parametrize("over_bytes", [1, 1_000_000])
async def test_too_much_is_refused_before_or_after_it_is_decoded(over_bytes: int) -> None:
    text = written(bytes(limits.ATTACHMENTS_BYTES_MAX + over_bytes))
    with pytest.raises(TooLargeError) as caught:
        await files().resolve([Given(name="a", content=text)])
    assert caught.value.field == "attachments[0].content"


async def test_too_many_are_not_even_looked_at() -> None:
    given: list[Any] = [Given(name="a", url="https://a.example/a")] * (limits.ATTACHMENTS_COUNT_MAX + 1)
    shelf = Shelf()
    with pytest.raises(CallerError, match="at most"):
        await files(shelf).resolve(given)
    assert shelf.left_bytes == []

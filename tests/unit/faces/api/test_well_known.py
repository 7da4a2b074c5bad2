"""/.well-known/mta-sts.txt: plain text for the host that is asked, and nothing for others."""

import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.faces.api import well_known
from outrider.faces.api.app import make_app
from outrider.testing.web import ask
from tests.unit.faces.conftest import ApiFace

PATH = "/.well-known/mta-sts.txt"
POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.us.example\r\nmax_age: 1209600\r\n"


class Book:
    """One policy."""

    is_away = False

    async def text_of(self, host: str) -> str:
        if self.is_away:
            raise StoreUnavailableError("The database is away.", cause="secret")
        return POLICY if host == "mta-sts.b.example" else ""


@pytest.fixture
def book() -> Book:
    return Book()


async def test_the_policy_of_the_host_is_served_as_text(book: Book) -> None:
    app = make_app(ApiFace().ports(), well_known.routes(book))
    heard = await ask(app, "GET", PATH, headers={"host": "mta-sts.b.example"})
    assert (heard.status, heard.text) == (200, POLICY)
    assert heard.headers["content-type"].partition(";")[0] == "text/plain", "RFC 8461 §3.2"


@pytest.mark.parametrize("host", ["b.example", "mta-sts.other.example", "127.0.0.1:8025"])
async def test_other_hosts_have_no_such_page(book: Book, host: str) -> None:
    app = make_app(ApiFace().ports(), well_known.routes(book))
    heard = await ask(app, "GET", PATH, headers={"host": host})
    assert (heard.status, "STSv1" in heard.text) == (404, False)
    assert (await ask(app, "POST", PATH, headers={"host": "mta-sts.b.example"})).status == 405


async def test_while_the_database_is_away_nobody_is_told_that_there_is_none(book: Book) -> None:
    book.is_away = True
    app = make_app(ApiFace().ports(), well_known.routes(book))
    heard = await ask(app, "GET", PATH, headers={"host": "mta-sts.b.example"})
    assert (heard.status, "secret" in heard.text) == (503, False)

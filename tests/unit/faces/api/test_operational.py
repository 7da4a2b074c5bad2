import asyncio

import pytest

from outrider.base import limits
from outrider.base.errors import StoreUnavailableError
from outrider.faces.api.app import make_app
from outrider.testing.web import ask
from tests.unit.faces.conftest import ApiFace


async def test_the_process_is_alive(face: ApiFace) -> None:
    face.is_ready = False
    heard = await ask(face.app, "GET", "/healthz")
    assert (heard.status, heard.json) == (200, {"status": "alive"})


async def test_it_is_ready_when_it_says_so(face: ApiFace) -> None:
    heard = await ask(face.app, "GET", "/readyz")
    assert (heard.status, heard.json) == (200, {"status": "ready"})
    face.is_ready = False
    heard = await ask(face.app, "GET", "/readyz")
    assert (heard.status, heard.json) == (503, {"status": "not ready"})
    assert heard.headers["cache-control"] == "no-store"


async def test_a_database_away_or_silent_means_not_ready(face: ApiFace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> bool:
        raise StoreUnavailableError("The database is not available.")

    async def silent() -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(limits, "READY_WAIT_S", 0.01)
    for is_ready in (away, silent):
        assert (await ask(make_app(face.ports(is_ready=is_ready)), "GET", "/readyz")).status == 503


async def test_metrics_are_prometheus_text(face: ApiFace) -> None:
    heard = await ask(face.app, "GET", "/metrics")
    assert heard.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE outrider_api_calls_total counter" in heard.text


async def test_the_front_page_says_what_this_is_and_fetches_nothing(face: ApiFace) -> None:
    heard = await ask(face.app, "GET", "/")
    assert heard.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in heard.headers["content-security-policy"]
    assert "POST /v1/emails" in heard.text
    assert 'href="/readyz"' in heard.text
    assert "/mailbox" not in heard.text
    assert "http:" not in heard.text
    assert "https:" not in heard.text
    catching = make_app(face.ports(has_mailbox=True))
    assert 'href="/mailbox"' in (await ask(catching, "GET", "/")).text

"""The mailbox pages from outside: what is shown, to whom, and that nothing a stranger wrote becomes markup."""

import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from litestar import Litestar

from outrider.faces.api.app import make_app
from outrider.faces.console import mailbox as pages
from outrider.services.catch import Mailbox
from outrider.testing.web import Heard, ask
from tests.unit.faces.conftest import ApiFace, StillClock

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
MESSAGE = (
    b"From: Shop <a@shop.example>\r\nTo: b@x.example\r\nSubject: Hello\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n"
)


async def no_record(domain: str, selector: str) -> str | None:
    return None


class Shown:
    """The pages of one mailbox."""

    def __init__(self, directory: Path, clock: StillClock) -> None:
        self.mailbox = Mailbox(directory, clock=clock, chance=random.Random(1))
        self.app: Litestar = make_app(ApiFace().ports(), pages.routes(self.mailbox, no_record, clock))

    async def get(self, path: str, headers: Mapping[str, str] | None = None, peer: str | None = "127.0.0.1") -> Heard:
        return await ask(self.app, "GET", path, headers=headers, peer=peer)

    async def put(self, content: bytes = MESSAGE, *recipients: str) -> str:
        return await self.mailbox.deliver(content, "bounce@shop.example", recipients or ("b@x.example",))


@pytest.fixture
async def shown(tmp_path: Path, clock: StillClock) -> AsyncIterator[Shown]:
    found = Shown(tmp_path / "box", clock)
    yield found
    found.mailbox.close()


async def test_an_empty_mailbox_says_so(shown: Shown) -> None:
    heard = await shown.get("/mailbox")
    assert heard.status == 200
    assert heard.headers["content-type"] == "text/html; charset=utf-8"
    assert "No mail yet" in heard.text


async def test_the_list_shows_the_newest_first_and_pages(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_COUNT", 2)
    names = [await shown.put(b"Subject: mail %d\r\n\r\n" % number) for number in range(3)]
    first = (await shown.get("/mailbox")).text
    assert first.index("mail 2") < first.index("mail 1")
    assert "mail 0" not in first
    assert "3 messages" in first
    assert f'href="/mailbox?before={names[1]}"' in first
    second = (await shown.get(f"/mailbox?before={names[1]}")).text
    assert "mail 0" in second
    assert "mail 1" not in second
    assert "Older" not in second
    assert 'href="/mailbox">Newest' in second


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("", ""),
        ("?refresh=5", "5"),
        ("?refresh=99999", "3600"),
        ("?refresh=x", ""),
        ("?refresh=-1", ""),
        ("?refresh=²", ""),
        ("?refresh=" + "9" * 5000, ""),
    ],
)
async def test_it_refreshes_by_itself_when_asked(shown: Shown, query: str, content: str) -> None:
    text = (await shown.get(f"/mailbox{query}")).text
    assert ('http-equiv="refresh"' in text) == bool(content)
    if content:
        assert f'content="{content}"' in text
        assert "Stop refreshing" in text


async def test_a_message_is_shown_whole(shown: Shown) -> None:
    name = await shown.put(MESSAGE, "b@x.example", "c@y.example")
    heard = await shown.get(f"/mailbox/{name}")
    assert heard.status == 200
    for words in ("Hello", "Shop &lt;a@shop.example&gt;", "b@x.example, c@y.example", "&lt;bounce@shop.example&gt;"):
        assert words in heard.text
    assert f'src="/mailbox/{name}/html"' in heard.text
    assert "<iframe sandbox " in heard.text


async def test_the_html_part_comes_in_a_sandbox(shown: Shown) -> None:
    name = await shown.put(
        MESSAGE.replace(b"<p>Hi</p>", "<p>Grüße</p>".encode("latin-1")).replace(b"/html", b"/html; charset=latin1")
    )
    heard = await shown.get(f"/mailbox/{name}/html")
    assert heard.headers["content-type"] == "text/html; charset=utf-8"
    policy = heard.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src data: cid:; style-src 'unsafe-inline'")
    assert heard.text == "<p>Grüße</p>\n"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (b'<link rel=preconnect href="//x.example">', b'<x-link rel=preconnect href="//x.example">'),
        (b"<LINK\nrel=x><link/rel=y><link>", b"<x-LINK\nrel=x><x-link/rel=y><x-link>"),
        (b"<li<link>nk rel=x>", b"<li<x-link>nk rel=x>"),
        (
            b"<iframe src=x></iframe><FRAME ><object\tdata=x><embed/>",
            b"<x-iframe src=x></iframe><x-FRAME ><x-object\tdata=x><x-embed/>",
        ),
        (b"<linked>", b"<linked>"),
    ],
)
async def test_elements_that_dial_ahead_become_unknown_ones(shown: Shown, html: bytes, expected: bytes) -> None:
    name = await shown.put(b"Content-Type: text/html\r\n\r\n" + html)
    assert (await shown.get(f"/mailbox/{name}/html")).body == expected


async def test_the_source_is_text_octet_for_octet(shown: Shown) -> None:
    content = b"Subject: <script>\r\n\r\n\x00\xff<script>alert(1)</script>\r\n"
    heard = await shown.get(f"/mailbox/{await shown.put(content)}/source")
    assert heard.headers["content-type"].startswith("text/plain")
    assert heard.headers["x-content-type-options"] == "nosniff"
    assert heard.body.endswith(content)


async def test_what_strangers_write_is_never_markup(shown: Shown) -> None:
    message = (
        f"From: {EVIL}\r\nTo: {EVIL}\r\nReply-To: {EVIL}\r\nDate: {EVIL}\r\nSubject: {EVIL}\r\nX-{EVIL}\r\n"
        f"DKIM-Signature: d={EVIL}; s={EVIL}; a={EVIL}\r\n"
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n" + EVIL + "\r\n--x\r\n"
        "Content-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''%3Cscript%3E\r\n\r\n\r\n--x--"
    ).encode()
    name = await shown.put(message, EVIL)
    for path in ("/mailbox", f"/mailbox/{name}", f"/mailbox?before={EVIL}"):
        heard = await shown.get(path)
        assert heard.status == 200
        assert "<script" not in heard.text
        assert "<img" not in heard.text
        assert "49" not in heard.text.replace(name, "").partition("</style>")[2]


async def test_rubbish_is_shown_too(shown: Shown) -> None:
    for content in (b"", b"\x00\xff" * 500, b"\r\n\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x"):
        name = await shown.put(content)
        for path in ("/mailbox", f"/mailbox/{name}", f"/mailbox/{name}/source"):
            assert (await shown.get(path)).status == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/mailbox/unknown", "no such message"),
        ("/mailbox/unknown/html", "no such message"),
        ("/mailbox/..%5c..%5cetc/source", "no such message"),
        ("/mailbox/..%2f..%2fetc/source", "Not Found"),  # The server decodes it: it is no path of ours.
        ("/mailbox/x%00", "no such message"),
    ],
)
async def test_what_is_not_there_is_not_found(shown: Shown, path: str, said: str) -> None:
    heard = await shown.get(path)
    assert heard.status == 404
    assert said in heard.text


async def test_a_message_without_html_has_no_frame(shown: Shown) -> None:
    name = await shown.put(b"Subject: x\r\n\r\ntext")
    assert "<iframe" not in (await shown.get(f"/mailbox/{name}")).text
    assert (await shown.get(f"/mailbox/{name}/html")).status == 404


async def test_pages_may_run_and_fetch_nothing(shown: Shown) -> None:
    name = await shown.put()
    for path in ("/mailbox", f"/mailbox/{name}", "/mailbox/unknown"):
        heard = await shown.get(path)
        policy = heard.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        for header, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
            assert heard.headers[header] == value
        assert "//" not in heard.text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("suffix", ["", "/html", "/source"])
@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({}, "192.0.2.1"),
        ({}, None),
        ({"host": "rebound.example:8025"}, "127.0.0.1"),
        ({"x-forwarded-for": "127.0.0.1"}, "127.0.0.1"),
        ({"forwarded": "for=127.0.0.1"}, "127.0.0.1"),
    ],
)
async def test_nobody_else_sees_any_of_it(
    shown: Shown, suffix: str, headers: Mapping[str, str], peer: str | None
) -> None:
    name = await shown.put()
    heard = await shown.get(f"/mailbox/{name}{suffix}", headers, peer)
    assert heard.status == 403
    assert "The catch mailbox is" in heard.text
    assert "Hello" not in heard.text
    assert (await shown.get("/mailbox", headers, peer)).status == 403


async def test_only_reading_is_possible(shown: Shown) -> None:
    name = await shown.put()
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/mailbox", f"/mailbox/{name}"):
            assert (await ask(shown.app, method, path)).status == 405

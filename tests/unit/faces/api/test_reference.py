"""The page at /docs and its files: nothing from elsewhere, nothing but what is on the list."""

import re
from pathlib import Path

import pytest
from litestar import Litestar

from outrider.faces.api import reference
from outrider.testing.web import Heard, ask


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "secret.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "package.json").write_text('{"version": "5.1.2"}')
    return tmp_path


async def get(package: Path, target: str) -> Heard:
    return await ask(Litestar(route_handlers=[*reference.routes(package)], openapi_config=None), "GET", target)


async def test_the_page_loads_what_it_names_and_nothing_else(package: Path) -> None:
    page = await get(package, "/docs")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(names) == 5
    assert all(name.startswith("/docs/") for name in names)
    for name in names:
        heard = await get(package, name)
        assert (heard.status, heard.headers["x-content-type-options"]) == (200, "nosniff"), name
    assert "<script>" not in page.text, "the policy would stop it"
    assert "5.1.2" in page.text


@pytest.mark.parametrize("name", ["secret.txt", "package.json", "..%2Fpackage.json", "%2e%2e", "swagger-ui.js", "x"])
async def test_what_is_not_on_the_list_is_not_served(package: Path, name: str) -> None:
    assert (await get(package, f"/docs/{name}")).status == 404


async def test_without_the_package_the_page_says_what_to_do(tmp_path: Path) -> None:
    page = await get(tmp_path, "/docs")
    assert page.status == 200
    assert "make setup" in page.text
    assert 'href="/v1/openapi.json"' in page.text
    assert (await get(tmp_path, "/docs/swagger-ui.css")).status == 404


def test_the_package_is_where_setup_puts_it() -> None:
    assert (reference.PACKAGE / "swagger-ui-bundle.js").is_file(), "run `make setup`"

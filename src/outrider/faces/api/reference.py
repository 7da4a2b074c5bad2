"""The API's reference at /docs: Swagger UI from the npm package, over the document at /v1/openapi.json.

Nothing comes from elsewhere: `make setup` puts `swagger-ui-dist` into node_modules (pinned in package-lock.json), and
the few of its files that the page needs are served from there. The page's policy (CSP) lets it load and call nothing
but this server; a key that is typed in stays in the page. Without the package the page leads to the document.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import litestar
from litestar import MediaType, Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

PACKAGE: Final = Path(__file__).parents[4] / "node_modules" / "swagger-ui-dist"
_DOCUMENT: Final = "/v1/openapi.json"
_FILES: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_START: Final = """\
window.ui = SwaggerUIBundle({
  url: "/v1/openapi.json", dom_id: "#reference", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  docExpansion: "list", defaultModelsExpandDepth: 0, persistAuthorization: false, displayRequestDuration: true,
});
"""
_STYLE: Final = "body { margin: 0 } .swagger-ui .topbar { display: none }\n"
_OURS: Final[Mapping[str, tuple[str, str]]] = {
    "start.js": (_START, "text/javascript"),
    "page.css": (_STYLE, "text/css"),
}
# Swagger UI sets style attributes by script, which needs no permission; its style sheet holds pictures as data.
_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_KEPT: Final = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff"}


def routes(package: Path = PACKAGE) -> Sequence[HTTPRouteHandler]:
    """Return the route handlers; `package` is where swagger-ui-dist is, or would be."""

    @litestar.get("/docs", sync_to_thread=True)
    def reference() -> Response[str]:
        return Response(_page(package), media_type=MediaType.HTML, headers=_HEADERS)

    return [reference, *(_file_route(package, name) for name in (*_FILES, *_OURS))]


def _page(package: Path) -> str:
    if not (package / "swagger-ui-bundle.js").is_file():
        return _sheet(
            "",
            "<main><h1>Outrider's API</h1><p>This page needs <code>swagger-ui-dist</code>: run <code>make setup</code>."
            f' The document itself is at <a href="{_DOCUMENT}">{_DOCUMENT}</a>.</p></main>',
        )
    version = _version(package)
    head = (
        f'<link rel="stylesheet" href="/docs/swagger-ui.css?{version}"><link rel="stylesheet" href="/docs/page.css">'
        '<link rel="icon" href="/docs/favicon-32x32.png">'
    )
    body = (
        f'<div id="reference"></div><script src="/docs/swagger-ui-bundle.js?{version}"></script>'
        f'<script src="/docs/start.js?{hashlib.sha256(_START.encode()).hexdigest()[:8]}"></script>'
    )
    return _sheet(head, body)


def _sheet(head: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Outrider API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head><body>{body}</body></html>'
    )


def _version(package: Path) -> str:
    """The package's version, so that a browser does not keep an older one's files."""
    found = re.search(r'"version": *"([\w.-]+)"', (package / "package.json").read_text("utf-8"))
    return found[1] if found else "0"


def _file_route(package: Path, name: str) -> HTTPRouteHandler:
    @litestar.get(f"/docs/{name}", sync_to_thread=True)
    def reference_file() -> Response[bytes]:
        if name in _OURS:
            content, media_type = _OURS[name]
            return Response(content.encode(), media_type=media_type, headers=_KEPT)
        if not (package / name).is_file():
            raise NotFoundException
        return Response((package / name).read_bytes(), media_type=_FILES[name], headers=_KEPT)

    return reference_file

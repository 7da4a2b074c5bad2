"""HTML from the templates, for all pages of this face.

Everything is escaped, no page runs a script, and the headers let none load anything from elsewhere or be shown in
another site's frame. A form leads back to its own page, and only where the routes say that they have one. What a page
says, and who may see it, is the business of its routes.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Final

import jinja2
from litestar import MediaType, Response
from markupsafe import Markup

from outrider.base.clock import Clock

SAFE: Final = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
}


class Pages:
    """The templates, read once."""

    def __init__(self, clock: Clock, *, may_submit: bool = False, **known: object) -> None:
        """`known` is what every page knows. `may_submit`: its pages have a form, which leads back to them."""
        loader = jinja2.PackageLoader("outrider.faces.console")
        self._environment: Final = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {"iso": _iso, "instant": _instant, "when": _when, "size": _size}
        style, _, _ = loader.get_source(self._environment, "style.css")
        style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._environment.globals |= {"style": Markup(style)}  # noqa: S704 - our file.
        self._environment.globals |= known
        target = "'self'" if may_submit else "'none'"
        self._headers: Final = SAFE | {
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:; "
            f"frame-src 'self'; base-uri 'none'; form-action {target}; frame-ancestors 'none'",
            "x-frame-options": "DENY",
        }
        self._clock: Final = clock

    def render(self, template: str, status: int = 200, **values: object) -> Response[str]:
        """Return a page; `values` are what its template needs."""
        values = {"refresh_s": 0, "now": self._clock.now(), **values}
        page = self._environment.get_template(template).render(values)
        return Response(page, status_code=status, media_type=MediaType.HTML, headers=self._headers)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _when(at: datetime, now: datetime) -> str:
    """Say when it was, as short as today allows."""
    at = at.astimezone(UTC)
    if at.date() == now.astimezone(UTC).date():
        return at.strftime("%H:%M:%S")
    return at.strftime("%Y-%m-%d %H:%M")


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"

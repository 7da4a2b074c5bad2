"""The calls of templates and partials, as values; `calls` says what a call is.

Whatever makes a new version, a template or a mail is done once: it is not tried again when no answer came, since these
calls have no idempotency key. All else may come twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from outrider.client import paths
from outrider.client.calls import Call, Listing, Page
from outrider.client.records import (
    Accepted,
    Partial,
    Preview,
    Template,
    TemplateListed,
    TemplatePage,
    TemplateVariant,
    TemplateVersion,
    TemplateVersionPage,
)

_encode: Final = msgspec.json.Encoder().encode


def create_template(
    name: str,
    variants: TemplateVariant | Sequence[TemplateVariant],
    *,
    stream: str = "transactional",
    markup: str = "html",
    syntax: str = "jinja",
    defaults: Mapping[str, str | int | float | bool | None] | None = None,
    is_lenient: bool = False,
    publish: bool = False,
) -> Call[Template]:
    """Store a template, as a draft or published at once. Done once: it is not tried again when no answer comes."""
    body = {
        "name": name,
        "variants": _variants(variants),
        "stream": stream,
        "markup": markup,
        "syntax": syntax,
        "defaults": defaults or {},
        "is_lenient": is_lenient,
        "publish": publish,
    }
    return _post("/templates", body, Template, is_repeatable=False)


def templates(
    *, name: str = "", states: Sequence[str] = (), stream: str = "", after: str = "", page_count: int = 100
) -> Listing[TemplateListed]:
    """Go through templates, newest first, page by page as they are asked for."""
    given = {"name": name, "state": list(states), "stream": stream, "limit": page_count}

    def page(cursor: str) -> Call[Page[TemplateListed]]:
        path = paths.with_query("/templates", given, after=cursor)
        return Call(method="GET", path=path, answer=TemplatePage, idempotency_key="")

    return Listing(page, after)


def show_template(template: str, *, number: int | None = None) -> Call[Template]:
    """Return a template, by id or name, with the version that an edit goes on from, or that one."""
    version = "" if number is None else f"/versions/{number}"
    return Call(method="GET", path=f"/templates/{paths.part(template)}{version}", answer=Template, idempotency_key="")


def change_template(
    template: str,
    variants: TemplateVariant | Sequence[TemplateVariant] = (),
    *,
    name: str | None = None,
    stream: str | None = None,
    markup: str | None = None,
    publish: bool = False,
) -> Call[Template]:
    """Rename a template, change its stream, or write a new version. Done once, as `create_template`."""
    given = {"name": name, "stream": stream, "markup": markup, "publish": publish}
    body: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if variants:
        body["variants"] = _variants(variants)
    path = f"/templates/{paths.part(template)}"
    return Call(method="PATCH", path=path, answer=Template, body=_encode(body), idempotency_key="", is_repeatable=False)


def publish_template(template: str, *, number: int | None = None) -> Call[Template]:
    """Send the newest version from now on, or that one; or hand it in where somebody must approve."""
    return _post(f"/templates/{paths.part(template)}/publish", {"number": number}, Template)


def disable_template(template: str, *, reason: str = "") -> Call[Template]:
    """Take no more mail of a template, within a second."""
    return _post(f"/templates/{paths.part(template)}/disable", {"reason": reason}, Template)


def enable_template(template: str) -> Call[Template]:
    """Put a disabled template back where it was."""
    path = f"/templates/{paths.part(template)}/enable"
    return Call(method="POST", path=path, answer=Template, idempotency_key="")


def delete_template(template: str) -> Call[None]:
    """Delete a template; it cannot be used, within a second. What was accepted still goes out."""
    return Call(method="DELETE", path=f"/templates/{paths.part(template)}", idempotency_key="", is_repeatable=False)


def template_versions(template: str, *, after: str = "", page_count: int = 100) -> Listing[TemplateVersion]:
    """Go through the versions of a template, newest first."""

    def page(cursor: str) -> Call[Page[TemplateVersion]]:
        path = paths.with_query(f"/templates/{paths.part(template)}/versions", {"limit": page_count}, after=cursor)
        return Call(method="GET", path=path, answer=TemplateVersionPage, idempotency_key="")

    return Listing(page, after)


def preview_template(
    template: str,
    variables: Mapping[str, object] | None = None,
    *,
    locale: str = "",
    number: int | None = None,
) -> Call[Preview]:
    """Return what a mail looks like; what is not given is a sample."""
    body = {"variables": variables or {}, "locale": locale, "number": number}
    return _post(f"/templates/{paths.part(template)}/preview", body, Preview)


def send_test(
    template: str,
    to: Sequence[str],
    variables: Mapping[str, object] | None = None,
    *,
    sender: str = "",
    locale: str = "",
    number: int | None = None,
) -> Call[Accepted]:
    """Send a template to a few people, its subject marked as a test. Done once, as `create_template`."""
    body = {"to": list(to), "variables": variables or {}, "from": sender, "locale": locale, "number": number}
    return _post(f"/templates/{paths.part(template)}/test", body, Accepted, is_repeatable=False)


def put_partial(name: str, source: str) -> Call[Partial]:
    """Store a partial, in place of the one of that name."""
    path = f"/partials/{paths.part(name)}"
    return Call(method="PUT", path=path, answer=Partial, body=_encode({"source": source}), idempotency_key="")


def show_partial(name: str) -> Call[Partial]:
    """Return a partial."""
    return Call(method="GET", path=f"/partials/{paths.part(name)}", answer=Partial, idempotency_key="")


def delete_partial(name: str) -> Call[None]:
    """Forget a partial that no template uses."""
    return Call(method="DELETE", path=f"/partials/{paths.part(name)}", idempotency_key="", is_repeatable=False)


def _variants(given: TemplateVariant | Sequence[TemplateVariant]) -> list[TemplateVariant]:
    return [given] if isinstance(given, TemplateVariant) else list(given)


def _post(path: str, body: Mapping[str, object], answer: Any, *, is_repeatable: bool = True) -> Call[Any]:
    return Call(
        method="POST",
        path=path,
        answer=answer,
        body=_encode(body),
        idempotency_key="",
        is_repeatable=is_repeatable,
    )

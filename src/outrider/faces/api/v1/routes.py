"""The table of calls: each is a row that says who may call it, and a function whose annotations say what it takes.

    async def show(call: Call, id: UUID, query: Page) -> MessageView

`call` is the request; `body` is what the JSON body must be (bytes: as it came); `query` is a record of the parameters
behind the question mark; any other parameter is the part of the path in braces of that name, a UUID, a number or text.
What is returned goes out as JSON, a `Reply` as it is, and None as 204.

The same rows make the router, the guard and the OpenAPI document, so that no call can be served without a scope, or
left out of the document.
"""

import inspect
import typing
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import digits, limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import KeyScope
from outrider.faces.api.v1.call import JSON, Reply

ROOT: Final = "/v1"
Act = Callable[..., Awaitable[object]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One call."""

    method: str
    path: str  # Below /v1, with parts in braces: "/emails/{id}".
    act: Act  # Its name is the document's operationId, the first line of its docstring the summary.
    scope: KeyScope | None  # What the key must be allowed; None: open to all, keys are not looked at.
    is_for_any_key: bool = False  # Where `scope` is None: it needs a valid key all the same, of any scope.
    tag: str  # The heading in the document.
    status: int = 200  # Of its success.
    is_keyed: bool = False  # Whether Idempotency-Key counts.
    body_bytes_max: int = limits.REQUEST_BODY_BYTES_MAX
    body_media_type: str = JSON
    body_as: Any = None  # What the document says of the body, where the function reads it more loosely; None: the same.
    answer_as: Any = None  # What the document says of the answer, where it is a `Reply`; None: it says the media type.
    answer_media_type: str = JSON  # Of a `Reply`.
    fields: Mapping[str, str] = {}  # From the engine's names of fields to those of this call's JSON, for errors.

    @property
    def is_open(self) -> bool:
        """Whether keys are not even looked at."""
        return self.scope is None and not self.is_for_any_key


class Bound(msgspec.Struct, frozen=True):
    """A route with what its function's annotations say."""

    route: Route
    parts: tuple[str, ...]  # Of the whole path, /v1 too; "{id}" stands for one of any text.
    path_types: Mapping[str, type]
    body_type: Any  # None: it takes no body.
    query_type: type[msgspec.Struct] | None
    answer_type: Any
    decode: Callable[[bytes], Any] | None  # None: no body, or the octets as they are.


class Found(msgspec.Struct, frozen=True):
    """The route of a request, and the parts of its path."""

    bound: Bound
    arguments: Mapping[str, Any]


class WrongMethodError(NotFoundError):
    """The path is known, but not with this method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"Use {' or '.join(allowed)} for this path.")
        self.allowed: Final = tuple(allowed)


class Router:
    """Finds the route of a request: by the whole path, else part by part, written parts before those in braces."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.bound: Final = [bind(route) for route in routes]
        self._whole: Final[dict[tuple[str, ...], dict[str, Found]]] = {}
        self._by_parts: Final[dict[int, list[tuple[tuple[str, ...], dict[str, Bound]]]]] = {}
        for bound in self.bound:
            if bound.path_types:
                self._add(bound)
            else:
                methods = self._whole.setdefault(bound.parts, {})
                assert bound.route.method not in methods, bound.route.path
                methods[bound.route.method] = Found(bound, {})

    def _add(self, bound: Bound) -> None:
        paths = self._by_parts.setdefault(len(bound.parts), [])
        for parts, methods in paths:
            if parts == bound.parts:
                assert bound.route.method not in methods, bound.route.path
                methods[bound.route.method] = bound
                return
        paths.append((bound.parts, {bound.route.method: bound}))
        paths.sort(key=lambda one: [part.startswith("{") for part in one[0]])

    def find(self, method: str, raw_path: bytes) -> Found:
        """Return the route of a path as it came, percent-encoded. Slashes too many, and one at its end, do not count.

        Raises:
            WrongMethodError: the path is there, with other methods.
            NotFoundError: it is not, or a part of it cannot be what it stands for.
            CallerError: it is not UTF-8.
        """
        parts = _parts(raw_path)
        whole = self._whole.get(parts)
        if whole is not None:
            if (found := whole.get(method)) is None:
                raise WrongMethodError(sorted(whole))
            return found
        for pattern, methods in self._by_parts.get(len(parts), ()):
            if all(known == given or known[:1] == "{" for known, given in zip(pattern, parts, strict=True)):
                if (bound := methods.get(method)) is None:
                    raise WrongMethodError(sorted(methods))
                return Found(bound, _arguments(bound, parts))
        raise NotFoundError("There is no such call here; /docs lists them.")


def bind(route: Route) -> Bound:
    """Read the annotations of the route's function."""
    parameters = list(inspect.signature(route.act).parameters)
    hints = typing.get_type_hints(route.act)
    parts = tuple(f"{ROOT}{route.path}".split("/")[1:])
    names = {part[1:-1] for part in parts if part.startswith("{")}
    body_type, query_type = hints.get("body"), hints.get("query")
    assert parameters[0] == "call", route.path
    assert set(parameters) == {"call", *names} | ({"body"} & set(hints)) | ({"query"} & set(hints)), route.path
    return Bound(
        route=route,
        parts=parts,
        path_types={name: hints[name] for name in names},
        body_type=body_type,
        query_type=query_type,
        answer_type=hints["return"],
        decode=None if body_type in (None, bytes) else msgspec.json.Decoder(body_type).decode,
    )


def is_raw(bound: Bound) -> bool:
    """Tell whether the route answers with a `Reply` alone."""
    return bound.answer_type is Reply


def _parts(raw_path: bytes) -> tuple[str, ...]:
    """Return the parts of a path, each decoded after they were parted: a `%2F` is a slash in a name, as "a/b@x"."""
    try:
        texts = raw_path.decode("utf-8").split("/")
        return tuple([urllib.parse.unquote(text, errors="strict") for text in texts if text])
    except UnicodeDecodeError:
        raise CallerError("The path is malformed: it must be percent-encoded UTF-8.") from None


def _arguments(bound: Bound, parts: Sequence[str]) -> Mapping[str, Any]:
    return {
        pattern[1:-1]: _argument(given, bound.path_types[pattern[1:-1]], pattern[1:-1])
        for pattern, given in zip(bound.parts, parts, strict=True)
        if pattern.startswith("{")
    }


def _argument(text: str, kind: type, name: str) -> object:
    if kind is UUID:
        try:
            found = UUID(text)
        except ValueError:
            found = None
        if found is None or str(found) != text.lower():  # UUID() also takes braces, underscores and more.
            raise NotFoundError("There is nothing with that id.", field=name)
        return found
    if kind is int:
        number = digits.parse(text)
        if number is None:
            raise NotFoundError("There is nothing with that number.", field=name)
        return number
    return text

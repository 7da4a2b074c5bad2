"""The table of calls as an OpenAPI 3.1 document: paths, parameters, bodies, answers, all from the types.

What a field means is its `Meta(description=...)`, what a call does its function's docstring. Source: OpenAPI 3.1.1;
schemas are JSON Schema 2020-12, as msgspec writes them.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.faces.api.v1.call import JSON, Reply
from outrider.faces.api.v1.problem import MEDIA_TYPE, Problem
from outrider.faces.api.v1.routes import Bound, Route, bind

_REF: Final = "#/components/schemas/{name}"
_INTRO: Final = """\
Hand in mail, follow it, and look after what it needs. Show a key with every call: `Authorization: Bearer
ACCESSKEY_ID.ACCESSKEY_SECRET`. Whatever goes wrong is a problem (RFC 9457) whose `code` never changes and whose `field`
names the part of the request at fault; the header `X-Request-Id` leads to it in the log.
"""
_PATH_SCHEMAS: Final[Mapping[type, Mapping[str, Any]]] = {
    UUID: {"type": "string", "format": "uuid"},
    int: {"type": "integer", "minimum": 0},
    str: {"type": "string", "minLength": 1},
}
_HEADERS: Final[Mapping[str, Any]] = {
    "X-Request-Id": {"schema": {"type": "string", "format": "uuid"}, "description": "This call, in our log."},
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": 'The key\'s rate: `"key";q=600;w=60`.'},
    "RateLimit": {"schema": {"type": "string"}, "description": 'What is left of it: `"key";r=599;t=42`.'},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds, with 429 and 503."},
    "Idempotency-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "This is the first answer to this key, given again; nothing was done.",
    },
}
_KEY_PARAMETER: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same call with the same key, for 24 hours: done once, its first answer given again.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": limits.IDEMPOTENCY_KEY_CHARS_MAX,
        "pattern": "^[!-~]+$",
    },
}
_REFUSALS: Final[Mapping[str, str]] = {
    "400": "The request is wrong; `field` says where.",
    "401": "No valid key.",
    "403": "The key may not do this.",
    "404": "There is no such thing in this project.",
    "409": "It contradicts what is stored, such as an idempotency key of another request.",
    "413": "The body is too large.",
    "429": "The key's rate or the project's quota is used up; come back after `retry_after_s`.",
    "503": "Too busy, or the database is away; nothing was kept.",
}


def of(routes: Sequence[Route]) -> Mapping[str, Any]:
    """Return the document of these routes."""
    rows = [bind(route) for route in routes]
    schemas = _schemas(rows)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        operation = _operation(row, schemas)
        if links := _links(row, rows):
            operation["responses"][str(row.route.status)]["links"] = links
        paths.setdefault(f"/v1{row.route.path}", {})[row.route.method.lower()] = operation
    for query in {row.query_type for row in rows if row.query_type is not None}:
        del schemas[query.__name__]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Outrider", "version": "1", "description": _INTRO, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": _HEADERS,
            "responses": {
                status: {
                    "description": words,
                    "headers": _header_refs("X-Request-Id", *(["Retry-After"] if status in ("429", "503") else [])),
                    "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
                }
                for status, words in _REFUSALS.items()
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "ID.SECRET of a key, or a token.",
                },
                "pair": {"type": "http", "scheme": "basic", "description": "ID and secret of a key."},
            },
        },
    }


def _schemas(rows: Sequence[Bound]) -> dict[str, Any]:
    """Return the schemas of all records that the calls take and give, by name."""
    kinds: list[Any] = [Problem]
    for row in rows:
        body = row.route.body_as or row.body_type
        kinds += [kind for kind in (body, row.query_type, _answer(row)) if kind not in (None, bytes, type(None), Reply)]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    return dict(schemas)


def _answer(row: Bound) -> Any:
    return row.route.answer_as or row.answer_type


def _operation(row: Bound, schemas: Mapping[str, Any]) -> dict[str, Any]:
    route = row.route
    words = inspect.getdoc(route.act) or ""
    needs = "Needs a key, of any scope." if route.is_for_any_key else ""
    needs = f"Needs a key with the scope `{route.scope.value}`." if route.scope is not None else needs
    scope = f"\n\n{needs}" if needs else ""
    operation: dict[str, Any] = {
        "operationId": route.act.__name__,
        "tags": [route.tag],
        "summary": words.partition(". ")[0].partition("\n")[0].rstrip("."),
        "description": words.partition("\n\n")[0].replace("\n", " ") + scope,
        "parameters": [*_path_parameters(row), *_query_parameters(row, schemas)],
        "security": [] if route.is_open else [{"key": []}, {"pair": []}],
        "responses": _responses(row),
    }
    if route.is_keyed:
        operation["parameters"].append(_KEY_PARAMETER)
    if row.body_type is not None:
        kind = route.body_as or row.body_type
        schema = {} if kind is bytes else _schema_of(kind)
        operation["requestBody"] = {"required": True, "content": {route.body_media_type: {"schema": schema}}}
    return operation


def _schema_of(kind: Any) -> Mapping[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _path_parameters(row: Bound) -> list[Mapping[str, Any]]:
    names = [part[1:-1] for part in row.parts if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[row.path_types[name]]} for name in names
    ]


def _query_parameters(row: Bound, schemas: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if row.query_type is None:
        return []
    known = schemas[row.query_type.__name__]
    required = known.get("required", ())
    parameters: list[Mapping[str, Any]] = []
    for name, schema in known["properties"].items():
        described = dict(schema)
        parameter = {"name": name, "in": "query", "required": name in required}
        if words := described.pop("description", ""):
            parameter["description"] = words
        parameters.append(parameter | {"schema": _without_null(described)})
    return parameters


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A query string has no null: what is not asked for is left out of it."""
    if "anyOf" not in schema:
        return schema
    kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _responses(row: Bound) -> Mapping[str, Any]:
    route = row.route
    names = ["X-Request-Id"]
    names += [] if route.is_open else ["RateLimit-Policy", "RateLimit"]
    names += ["Idempotency-Replayed"] if route.is_keyed else []
    success: dict[str, Any] = {"description": "Done.", "headers": _header_refs(*names)}
    answer = _answer(row)
    status = str(route.status)
    if answer is type(None):
        status = "204"
    elif answer is Reply:
        success["content"] = {route.answer_media_type: {"schema": {"type": "object"} if _is_json(route) else {}}}
    else:
        success["content"] = {JSON: {"schema": _schema_of(answer)}}
    refusals = ["400", "503"]
    refusals += [] if route.is_open else ["401", "403", "429"]
    refusals += ["404"] if row.path_types or route.fields else []
    refusals += ["409"] if route.is_keyed or route.method in ("POST", "PUT", "PATCH", "DELETE") else []
    refusals += ["413"] if row.body_type is not None else []
    return {status: success} | {one: {"$ref": f"#/components/responses/{one}"} for one in sorted(refusals)}


def _links(row: Bound, rows: Sequence[Bound]) -> Mapping[str, Any]:
    """What can be called with the `id` in the answer: what is below the path of this call."""
    answer = _answer(row)
    if not (inspect.isclass(answer) and issubclass(answer, msgspec.Struct) and "id" in answer.__struct_fields__):
        return {}
    below = f"{row.route.path}/{{id}}"
    return {
        other.route.act.__name__: {
            "operationId": other.route.act.__name__,
            "parameters": {"id": "$response.body#/id"},
        }
        for other in rows
        if other.route.path == below or other.route.path.startswith(f"{below}/")
    }


def _is_json(route: Route) -> bool:
    return route.answer_media_type == JSON


def _header_refs(*names: str) -> Mapping[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

"""The description of a listener (OpenAPI 3.1), made from its table of routes."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERROR = {
    "type": "object",
    "required": ["code", "error", "detail"],
    "properties": {
        "code": {"type": "integer"},
        "error": {"type": "string"},
        "detail": {"type": "string"},
    },
}

_TEXT = {"type": "string"}
_PATH = {"period": {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}}


def route(routes: list[Route], title: str, version: str) -> Route:
    """``/openapi.json`` for these routes and itself."""

    async def get(_: web.BaseRequest, __: Mapping[str, str]) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(describe([*routes, made], title, version)),
            content_type="application/json",
        )

    made = Route(
        "GET", "/openapi.json", get, Access.READ, "This description", {200: "OpenAPI 3.1."},
        errors=(401, 403),
    )  # fmt: skip
    return made


def describe(routes: list[Route], title: str, version: str) -> dict[str, Any]:
    """The description as a value."""
    paths: dict[str, dict[str, Any]] = {}
    for entry in routes:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(entry: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": entry.summary,
        "parameters": [
            {"name": n, "in": "path", "required": True, "schema": _PATH.get(n, _TEXT)}
            for n in re.findall(r"\{(\w+)\}", entry.path)
        ]
        + [
            {
                "name": p.name,
                "in": "query",
                "description": p.text,
                "required": p.required,
                "schema": dict(p.schema),
            }
            for p in entry.parameters
        ],
        "responses": {
            **{str(code): _answer(entry, text) for code, text in entry.answers.items()},
            **{str(code): _error(code) for code in entry.errors},
            **({"429": _error(429)} if entry.limited else {}),
        },
    }
    if entry.body is not None:
        operation["requestBody"] = {
            "required": True,
            "description": entry.body,
            "content": {
                media: {"schema": dict(schema)}
                for media, schema in (entry.media or {"application/json": entry.schema}).items()
            },
        }
    if entry.access is not Access.OPEN:
        operation["security"] = [{"token": []}]
    return operation


def _answer(entry: Route, text: str) -> dict[str, Any]:
    if 201 in entry.answers and entry.access is Access.OPEN:
        return {"description": text}
    return {"description": text, "content": {media: {} for media in (entry.content, *entry.also)}}


def _error(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        "description": HTTPStatus(code).phrase,
        "content": {"application/json": {"schema": schema}},
    }

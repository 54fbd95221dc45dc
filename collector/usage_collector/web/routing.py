"""Routes as a table: what is served, who may call it, and how it is described."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from usage_collector.errors import NotFound

if TYPE_CHECKING:
    from usage_collector.web.tokens import Access

Handler = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, for the description; ``schema`` says what it may be."""

    name: str
    text: str
    required: bool = False
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path; ``{name}`` in the path matches a segment.

    ``schema`` is that of a JSON body, ``media`` those by content type where there are others.
    ``also`` are other content types that the answer may have.
    """

    method: str
    path: str
    handle: Handler
    access: Access
    summary: str
    answers: Mapping[int, str]
    parameters: tuple[Parameter, ...] = ()
    body: str | None = None
    schema: Mapping[str, object] = field(default_factory=dict)
    media: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    content: str = "application/json"
    also: tuple[str, ...] = ()
    errors: tuple[int, ...] = field(default=())
    unlimited: bool = False

    @property
    def limited(self) -> bool:
        """Whether a client may send only so many of them a second; what is open to all is not."""
        return bool(self.access) and not self.unlimited


class NoSuchMethod(NotFound):
    """The path is there, the method is not; ``allowed`` are those that are."""

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"{method} is not possible here", f"use {' or '.join(allowed)}")
        self.allowed = allowed


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        for route in routes:
            if route.path in self._exact:
                self._exact[route.path][route.method] = route
                continue
            self._exact[route.path] = methods = {route.method: route}
            if "{" in route.path:
                pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
                self._patterns.append((re.compile(pattern), methods))

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and the path's variables; HEAD finds that of GET (RFC 9110, 9.3.2).

        Raises:
            NotFound: no such path.
            NoSuchMethod: not this method.
        """
        methods = self._exact.get(path)
        variables: dict[str, str] = {}
        if methods is None or "{" in path:
            methods, variables = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
            raise NoSuchMethod(method[:20], sorted(allowed))
        return route, variables

    def _match(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        for pattern, methods in self._patterns:
            if match := pattern.fullmatch(path):
                return methods, match.groupdict()
        raise NotFound("there is nothing at this path", "see /openapi.json")

"""The page at ``/``: a document, scripts and styles without any usage in them.

What it shows the browser asks for with the token that was given there, so the files themselves are
open to all. The plots are drawn by Chart.js, which the package `chartkick` brings
(https://www.chartjs.org, MIT).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from isal import igzip

from usage_collector.web.routing import Route
from usage_collector.web.tokens import Access

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_OWN = files(__name__)
_CHART = files("chartkick") / "django" / "static" / "chartkick" / "Chart.bundle.js"
_HTML, _SCRIPT, _STYLE, _ICON = "text/html", "text/javascript", "text/css", "image/svg+xml"
_SCRIPTS = ("main", "api", "dom", "figures", "plot", "sections")

HEADERS = {
    # https://developer.mozilla.org/docs/Web/HTTP/CSP
    # Nothing from elsewhere, nothing inline, in nobody's frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The files change with the collector's version; the browser asks each time whether they did.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, as it is and gzipped."""

    body: bytes
    zipped: bytes
    etag: str
    content: str

    @classmethod
    def of(cls, file: Traversable, content: str) -> Asset:
        """That file with this content type."""
        body = file.read_bytes()
        etag = hashlib.sha256(body).hexdigest()[:32]
        return cls(body, igzip.compress(body, 3, mtime=0), etag, content)

    async def get(self, request: web.BaseRequest, _: Mapping[str, str]) -> web.Response:
        """The file, unless the browser has it already."""
        headers = {**HEADERS, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if any(tag.value in (self.etag, "*") for tag in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        elif "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            response = web.Response(body=self.zipped, headers=headers)
        else:
            response = web.Response(body=self.body, headers=headers)
        response.etag = self.etag
        if response.status == 200:
            response.content_type = self.content
            response.charset = "utf-8"
        return response


def routes() -> list[Route]:
    """``/`` and the files that it names."""
    served = [
        ("/", _OWN / "index.html", _HTML),
        ("/page/page.css", _OWN / "page.css", _STYLE),
        ("/page/icon.svg", _OWN / "icon.svg", _ICON),
        ("/page/chart.js", _CHART, _SCRIPT),
        *((f"/page/{name}.js", _OWN / f"{name}.js", _SCRIPT) for name in _SCRIPTS),
    ]
    return [
        Route(
            "GET", path, Asset.of(file, content).get, Access.OPEN,
            "The page for people" if path == "/" else "A file of the page",
            {200: "It.", 304: "The browser has it."}, content=content,
        )
        for path, file, content in served
    ]  # fmt: skip

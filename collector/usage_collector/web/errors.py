"""Our errors as HTTP answers: the one place that knows which status each of them has."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

import msgspec
from aiohttp import web

from usage_collector import errors

_log = logging.getLogger("usage_collector.web")

_STATUSES: tuple[tuple[type[errors.UsageError], HTTPStatus], ...] = (
    (errors.UnsupportedEncoding, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.InvalidInput, HTTPStatus.BAD_REQUEST),
    (errors.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.TooSlow, HTTPStatus.REQUEST_TIMEOUT),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.StorageUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.PeerUnavailable, HTTPStatus.BAD_GATEWAY),
)
_RETRY_SECONDS = "1"


def answer(error: Exception) -> web.Response:
    """The answer to a request that failed with that error; what is not ours is a 500."""
    if not isinstance(error, errors.UsageError):
        _log.error("a request failed", exc_info=error)
        return body(500, "the collector failed; its log says why")
    status = next((s for kind, s in _STATUSES if isinstance(error, kind)), 500)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed: %s", error)
    windows = error.windows if isinstance(error, errors.TooLarge) else []
    response = body(int(status), str(error), **({"windows": windows} if windows else {}))
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(math.ceil(error.seconds))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = _RETRY_SECONDS
    if status == HTTPStatus.UNAUTHORIZED:
        # A 401 has to name a scheme (RFC 9110, 15.5.2). A header of one's own is none that is
        # registered, and its name is nobody's business.
        header = isinstance(error, errors.UnknownSender)
        response.headers["WWW-Authenticate"] = "WebhookHeader" if header else "Bearer"
    return response


def body(status: int, detail: str, **more: object) -> web.Response:
    """An error's body, the same shape everywhere."""
    value = {"code": status, "error": HTTPStatus(status).phrase, "detail": detail, **more}
    # Text from outside may hold what UTF-8 cannot; nothing else may fail here.
    clean = detail.encode(errors="backslashreplace").decode()
    return web.Response(
        status=status,
        body=msgspec.json.encode({**value, "detail": clean}),
        content_type="application/json",
    )

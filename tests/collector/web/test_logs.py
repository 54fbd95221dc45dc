"""What is remembered of log lines."""

from __future__ import annotations

import io
import logging

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from usage_collector.web import logs


async def test_no_more_of_a_client_s_text_is_remembered_than_is_written() -> None:
    """Requests that differ only in what no line shows are one; thousands would take 30 MB."""
    out = io.StringIO()
    logger = logs.AccessLogger(logging.getLogger("usage_collector.web"), "")
    logger._output = logs.Output(out, logs.LineForm())
    logs._what.cache_clear()
    for number in range(3):
        long = "x" * 500 + str(number)
        request = make_mocked_request("GET", f"/{long}", headers={"User-Agent": long})
        logger.log(request, web.Response(status=404), 0)
    assert logs._what.cache_info().currsize == 1
    logger._output.flush()
    assert out.getvalue().count("GET") == 3

"""What is remembered of log lines."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

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


_ASKING = """
import logging, sys, httpx
from usage_collector.web import configure
configure("line")
logging.getLogger("usage_collector").info("begun")
httpx.get(sys.argv[1] + "/v1/usage/news?register=secret", trust_env=False)
logging.shutdown()
"""


class _Anything(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_what_a_collector_asks_of_others_leaves_no_line() -> None:
    """It asks every few seconds, with a query; our own lines are there."""
    with HTTPServer(("127.0.0.1", 0), _Anything) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, "-c", _ASKING, f"http://127.0.0.1:{server.server_port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        server.shutdown()
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "INFO usage_collector] begun" in line


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_json_line_is_one_object_whatever_is_in_it(text: str) -> None:
    """Lines of requests and of the rest, with an exception where there is one."""
    out = io.StringIO()
    handler = logs.Output(out, logs.JsonForm())
    out.write(handler._form.line(86_400, "INFO", "usage_collector.web", text) + "\n")
    about = (ValueError, ValueError(text), None)
    handler.emit(logging.LogRecord("usage_collector", logging.ERROR, "", 0, "%s", (text,), about))
    first, second = out.getvalue().splitlines()
    assert json.loads(first) == {
        "time": "1970-01-02T00:00:00Z",
        "level": "INFO",
        "logger": "usage_collector.web",
        "message": text,
    }
    assert json.loads(second)["message"] == text
    assert json.loads(second)["exception"].startswith("ValueError")

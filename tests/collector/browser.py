"""A real Chromium that tests look at the page with."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

from tests.collector.debian import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SECONDS = 60
"""How long the browser may take for anything, on a machine that is busy."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, installed where it is missing."""
    found = needed("chromium", lambda: shutil.which("chromium"))
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        # Its sandbox cannot be had as root; the pages are our own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One tab, and all that it complained of or asked of somebody else."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(SECONDS * 1000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._console(said.type, said.text))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._asked(request.url))

    def _console(self, kind: str, text: str) -> None:
        # That it is not signed in yet, or has to wait, is told as an error of the network.
        if kind in ("error", "warning") and not re.search("status of (401|429)", text):
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "blob:" + self.url)):
            self.complaints.append(f"asked {url}")

    def open(self, address: str = "", token: str = "") -> Page:
        """The page once it shows usage."""
        self.page.goto(f"{self.url}/{address}")
        if token:
            self.page.wait_for_selector("#login:not([hidden])")
            self.page.fill("#token", token)
            self.page.press("#token", "Enter")
        self.page.wait_for_selector("#content:not([hidden])")
        return self.page

    def close(self) -> None:
        self.context.close()

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

CONTRAST = """
() => {
  const light = (c) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll("main *, header *")) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !one.checkVisibility()) continue;
    const pair = [light(parts(getComputedStyle(one).color).slice(0, 3)), light(behind(one))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) poor.push(`${one.tagName} ${one.className}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""
"""Texts that do not stand out enough (WCAG 2.2, 1.4.3), each with its contrast."""
SHIFTS = """
() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
  }).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})
"""
"""How much of the page jumped about since it was opened."""


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

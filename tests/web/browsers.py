"""A real browser for the tests: Debian's Chromium, driven by Playwright. Nothing is ever downloaded.

Its headless shell, a package of its own, is preferred: the same engine without the browser's windows and
profiles, where a new page takes a quarter of the processor time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

SECONDS = 60.0
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-gpu-compositing",
    "--disable-software-rasterizer",  # what draws without a GPU, slowly, as one would
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Where it is. Skips the test when there is none, except where everything has to be tested."""
    named = os.environ.get("LIVESERVER_CHROMIUM")
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = named or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = "there is no chromium; install it, or name it in LIVESERVER_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser; each of its contexts is as if it were another person's.

    Playwright's event loop is this thread's until the block is left, also between two calls.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class SharedBrowser:
    """One browser for all tests of a process, started when the first of them needs it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def use(self) -> Iterator[Browser]:
        """The browser, without a context; closes those that were opened.

        Outside of the block Playwright's event loop is not this thread's, so that other tests run their own.
        A browser that crashed is replaced.
        """
        asyncio._set_running_loop(self._loop)
        try:
            if self._browser is None or not self._browser.is_connected():
                self._close()
                self._browser = self._stack.enter_context(running_browser())
                self._loop = asyncio._get_running_loop()
            yield self._browser
            for context in self._browser.contexts:
                context.close()
        finally:
            asyncio._set_running_loop(None)

    def close(self) -> None:
        """End the browser, if it was started."""
        asyncio._set_running_loop(self._loop)
        try:
            self._close()
        finally:
            asyncio._set_running_loop(None)

    def _close(self) -> None:
        self._stack.close()
        self._browser = self._loop = None


def wait_until(condition: Callable[[], bool]) -> None:
    """For conditions other than elements of a page: return once it holds, fail after `SECONDS`."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def stop_clock(page: Page) -> None:
    """Let the page's time stand still from its first script on: it moves by `page.clock.run_for` alone.

    A clock that is only installed goes on with real time, so on a busy machine what is to happen later may
    have happened.
    """
    now = time.time()
    page.clock.install(time=now)
    page.clock.pause_at(now + 1)

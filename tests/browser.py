"""Headless Chromium for tests: the system's own (Debian's package, say), driven by Playwright, whose Python package
brings the driver and downloads no browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_S = 60.0


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser while the block runs; the test is skipped where this machine has none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium, which this machine does not have")
    offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[offline])
        yield browser
        browser.close()


@contextmanager
def visiting(
    browser: Browser, url: str, *, width: int = 1280, height: int = 860, dark: bool = False
) -> Iterator[Page]:
    """The page at an address, ready, in a context of its own. Afterwards its scripts have neither failed nor tried what
    its content security policy forbids.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=width < 600,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    yield page
    assert page.page_errors() == []
    errors = [message.text for message in page.console_messages() if message.type == "error"]
    assert [text for text in errors if not text.startswith("Failed to load resource")] == []
    context.close()


def press(page: Page, *keys: str) -> None:
    """Presses keys of the keyboard, one after the other; Shift+Tab holds one."""
    for key in keys:
        page.keyboard.press(key)

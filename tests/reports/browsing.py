"""A page in real Chromium, without a network; the browser is Debian's package `chromium`."""

import os
import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium():
    """Path of the browser; in CI it must be there."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: .ci/run installs Debian's package `chromium`.")
        pytest.skip("no Chromium: install the package `chromium` to test the report in a browser")
    return found


@contextmanager
def started():
    """The browser."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, path, width=1280, height=900, scheme="light"):
    """The page of a file, and what went wrong in it: errors, dialogs, requests."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    trouble = []
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith("file:") else trouble.append(request.url))
    page.goto(path.resolve().as_uri())
    yield page, trouble
    context.close()

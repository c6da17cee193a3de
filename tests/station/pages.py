"""A browser on a station's page, with checks for errors, accessibility and requests to other hosts."""

import base64
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
_TIMEOUT = 60_000  # milliseconds for any wait, on slow machines
_AXE = files("axe_core_python") / "axe.min.js"
_TRANSFER_SCRIPT = """
    (node, files) => {
        const transfer = new DataTransfer();
        for (const [name, bytes] of files) {
            transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name));
        }
        const event = EVENT;
        node.dispatchEvent(event);
    }
"""
_EVENTS = {
    "drop": "new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })",
    "paste": "new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })",
}

Files = Sequence[tuple[str, bytes]]


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """Start Debian's Chromium with a fake camera; without Chromium, tests are skipped, or fail in CI."""
    if not CHROMIUM.exists():
        if os.environ.get("CLEARCAST_NEEDS_SERVERS") == "1":
            pytest.fail(f"{CHROMIUM} is not installed, and CLEARCAST_NEEDS_SERVERS=1 asks for it")
        pytest.skip(f"{CHROMIUM} is not installed")
    expect.set_options(timeout=_TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class PageVisit:
    """A visit to the page.

    Attributes:
        page: Playwright's page.
        errors: script errors and browser warnings.
        urls: URLs of all requests.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def add_files(self, files: Files, event: str = "drop") -> None:
        """Drop or paste files onto the page."""
        encoded = [(name, base64.b64encode(data).decode()) for name, data in files]
        self.page.locator("body").evaluate(_TRANSFER_SCRIPT.replace("EVENT", _EVENTS[event]), encoded)

    def open_view(self, view: str) -> None:
        """Open a view by its address after #/, and wait until it has loaded."""
        self.page.goto(f"{self.page.url.partition('#')[0]}#/{view}")
        name = re.split("[/?]", view)[0] or "inspect"
        expect(self.page.locator(f"main.view-{name}")).to_be_attached()
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait until loading has finished or the sign-in dialog is shown."""
        expect(self.page.locator("main h1, dialog[open] input").first).to_be_attached()
        expect(self.page.locator("[aria-busy]")).to_have_count(0)

    def check_accessibility(self) -> None:
        """Check for accessibility violations with axe, and that the page is not wider than the screen."""
        self.page.evaluate(_AXE.read_text())
        found = self.page.evaluate("axe.run()")
        assert found["passes"], "axe checked nothing"
        violations = [
            (violation["id"], violation["help"], [node["target"] for node in violation["nodes"]])
            for violation in found["violations"]
        ]
        assert violations == [], f"{self.page.url}: {violations}"
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{self.page.url} is too wide"


@contextmanager
def open_page(
    browser: Browser,
    client: httpx.Client,
    *,
    size: tuple[int, int] = (1366, 820),
    colours: str = "light",
    expected: Sequence[int] = (),
) -> Iterator[PageVisit]:
    """Open the page of a client's station; afterwards check for browser warnings and requests to other hosts.

    Args:
        expected: status codes that the test provokes; browsers log each as an error.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if colours == "dark" else "light"
    )
    context.set_default_timeout(_TIMEOUT)
    visit = PageVisit(context.new_page())
    ignored = [f"status of {status}" for status in expected]

    def record_error(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in ignored):
            visit.errors.append(message.text)

    def record_request(request: Request) -> None:
        visit.urls.append(request.url)

    visit.page.on("console", record_error)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", record_request)
    visit.page.goto(str(client.base_url))
    visit.wait_until_loaded()
    yield visit
    context.close()
    assert visit.errors == []
    hosts = {urlsplit(address).netloc for address in visit.urls if not address.startswith("data:")}
    assert hosts == {urlsplit(str(client.base_url)).netloc}

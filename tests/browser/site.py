"""A live site, and a browser to visit it with."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.content import PASSWORD
from tests.support import wait_for

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("TOOSIMPLEQ_BROWSER_FOLDER") or ROOT / ".browser")
PICTURES = FOLDER / "pictures"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 780}

# What stands beyond the right edge of the window, unless a part of the page scrolls to show it.
BEYOND = """() => {
    const scrolls = (one) => {
        const part = one.parentElement;
        if (!part || part === document.body) return false;
        return ["auto", "scroll"].includes(getComputedStyle(part).overflowX) || scrolls(part);
    };
    return [...document.body.querySelectorAll("*")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().width > 0)
        .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1)
        .filter((one) => !scrolls(one))
        .map((one) => `${one.outerHTML.slice(0, 120)}`);
}"""


@contextmanager
def served(environment: dict[str, str]) -> Iterator[str]:
    """Serve the site in a process of its own during the block, and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ("--noreload", "--insecure", f"127.0.0.1:{port}")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "runserver", *options],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(lambda: process.poll() is not None or _answers(address), timeout=60)
            if process.poll() is not None:
                log.seek(0)
                raise AssertionError(f"the site did not start:\n{log.read()}")
            yield address
        finally:
            process.kill()
            process.wait(10)


def _answers(address: str) -> bool:
    try:
        return bool(urlopen(f"{address}/admin/login/", timeout=20).status == 200)
    except OSError:
        return False


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium without a window during the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["TOOSIMPLEQ_BROWSER"],
            # Chromium's sandbox refuses to run as root, which containers do.
            args=["--no-sandbox"] if os.getuid() == 0 else [],
        )
        yield browser
        browser.close()


class Visit:
    """A user in a window of the browser. It notes what the browser complains about."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(
            base_url=address, **{"viewport": WIDE, **options}
        )
        self.context.set_default_timeout(30_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.complaints.append(line.text) if line.type == "error" else None,
        )

    def log_in(self, user: str = "boss") -> None:
        self.page.goto("/admin/")
        self.page.fill("[name=username]", user)
        self.page.fill("[name=password]", PASSWORD)
        self.page.press("[name=password]", "Enter")
        self.page.wait_for_url(re.compile("/admin/$"))

    def picture(self, name: str, *, whole: bool = True) -> None:
        """Keep a picture of the whole page, or of what the window shows."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)

    def close(self) -> None:
        self.context.close()

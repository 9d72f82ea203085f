"""A real browser for pages that must work from disk: found or installed, driven, and watched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

#: For every module that drives a browser, as its ``pytestmark``: one at a time, and the first may have to install it.
BROWSER = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(900)]
#: Names the executable, where it is neither Debian's nor on the path.
VARIABLE = "SALMU_TEST_BROWSER"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever asks for a host gets no further
)
#: Schemes that leave nothing behind and ask nobody.
OWN = ("data:", "blob:")
#: Milliseconds after which a page that does not answer has failed.
PATIENCE = 20_000

Open = Callable[..., Page]


def find() -> str | None:
    """The executable of a Chromium that is here.

    Raises:
        FileNotFoundError: One is named in the environment, and is not there.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise FileNotFoundError(f"{VARIABLE} names {named}, which is no file")
        return named
    return next(filter(None, map(shutil.which, ("/usr/bin/chromium", "chromium", "google-chrome", "chrome"))), None)


def executable() -> str:
    """A Chromium: the one that is here, else Debian's, installed; without either, the test is skipped."""
    lacking = f"no Chromium: `apt-get install chromium`, or name one in {VARIABLE}"
    if found := find():
        return found
    if not shutil.which("apt-get") or os.geteuid() != 0:
        pytest.skip(lacking)
    try:
        with FileLock(Path(tempfile.gettempdir(), "salmu-test-browser.lock"), timeout=300):
            return find() or _installed()
    except (OSError, subprocess.SubprocessError, Timeout) as error:
        pytest.skip(f"{lacking} (installing it failed: {error})")


def _installed() -> str:
    patient = ("Acquire::Retries=1", "Acquire::http::Timeout=20", "DPkg::Lock::Timeout=60")
    apt = ["apt-get", "-q", *(word for each in patient for word in ("-o", each))]
    install = [*apt, "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]

    def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, timeout=180)

    if run(install).returncode:  # lists of packages that are old, or not there at all
        run([*apt, "update"])
        run(install).check_returncode()
    if found := find():
        return found
    raise FileNotFoundError("apt-get left no chromium behind")


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """A browser process with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser) -> Iterator[Open]:
    """Yield ``open_page(path, width=1280, height=800, scheme="light")``, which opens a file and waits until it is read.

    Raises:
        AssertionError: In the end, if a page wrote a warning or an error on the console, threw, opened a dialog, or
            asked for anything but itself.
    """
    visits: list[Visit] = []

    def open_page(path: Path, width: int = 1280, height: int = 800, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        visits.append(visit := Visit(context, path.resolve().as_uri()))
        return visit.begin()

    try:
        yield open_page
    finally:
        for visit in visits:
            visit.end()
    problems = [problem for visit in visits for problem in visit.problems]
    assert not problems, "\n".join(problems)


class Visit:
    """A page that is open, and what is wrong with it.

    Args:
        context: A profile of its own, which `end` closes.
        address: The page's.

    Attributes:
        problems: What it must not do and did, a line each.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.problems: list[str] = []
        self._context, self._address = context, address
        context.set_default_timeout(PATIENCE)
        context.on("console", self._said)
        context.on("weberror", lambda thrown: self._note("thrown", thrown.error))
        context.on("request", lambda request: self._asked(request.url))
        context.on("dialog", self._dialog)

    def begin(self) -> Page:
        """Open the page."""
        page = self._context.new_page()
        page.on("websocket", lambda socket: self._asked(socket.url))
        page.on("crash", lambda _: self._note("crash", "the page is gone"))
        page.goto(self._address, wait_until="load")
        return page

    def end(self) -> None:
        """Take in what the page still has to say, and close it."""
        try:
            for page in self._context.pages:
                page.wait_for_function("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0, true)))")
        except PlaywrightError as error:
            self._note("no answer", error)
        finally:
            self._context.close()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note("console", message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith(OWN) and url.partition("#")[0] != self._address:
            self._note("request", url)

    def _dialog(self, dialog: Dialog) -> None:
        self._note("dialog", dialog.message)
        dialog.dismiss()

    def _note(self, what: str, told: object) -> None:
        self.problems.append(f"{self._address}: {what}: {told}")

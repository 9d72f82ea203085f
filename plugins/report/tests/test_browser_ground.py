"""The browser the report is driven in: what it must notice, and what it must let pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import BROWSER, VARIABLE, executable, find, visiting

pytestmark = BROWSER
PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; {}\">"


@pytest.fixture
def page(tmp_path: Path):
    """Write a page."""

    def write(body: str, head: str = "") -> Path:
        path = tmp_path / "a page.html"
        path.write_text(f"<!doctype html><meta charset=utf-8>{head}<title>A page</title><body>{body}")
        return path

    return write


def test_a_page_that_keeps_to_itself_passes(open_page, page):
    wide = "<p id=wide></p><script>document.querySelector('#wide').textContent = innerWidth</script>"
    blob = (
        "fetch(URL.createObjectURL(new Blob(['fine']))).then(read => read.text()).then(text => document.title = text)"
    )
    policy = POLICY.format("img-src data:; connect-src blob:")
    path = page(f"<img src='{PICTURE}'><a href='#wide'>down</a>{wide}<script>{blob}</script>", policy)
    opened = open_page(path, width=400)
    opened.click("a")
    opened.wait_for_function("document.title === 'fine'")
    assert opened.text_content("#wide") == "400" and opened.url.endswith("#wide")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_see_the_scheme(open_page, page, scheme):
    opened = open_page(
        page("<style>:root { color-scheme: light dark; color: light-dark(red, lime) }</style>x"), scheme=scheme
    )
    colour = opened.evaluate("getComputedStyle(document.body).color")
    assert colour == {"light": "rgb(255, 0, 0)", "dark": "rgb(0, 255, 0)"}[scheme]


@pytest.mark.parametrize(
    ("body", "noticed"),
    [
        ("<script>console.error('it went wrong')</script>", "console: it went wrong"),
        ("<script>console.warn('nearly')</script>", "console: nearly"),
        ("<script>nothing.there()</script>", "thrown: .*nothing is not defined"),
        ("<script>Promise.reject(new Error('unheard'))</script>", "thrown: .*unheard"),
        ("<script>fetch('http://127.0.0.1:9/').catch(() => 0)</script>", "request: http://127.0.0.1:9/"),
        ("<script>new WebSocket('ws://127.0.0.1:9/')</script>", "request: ws://127.0.0.1:9/"),
        ("<link rel=stylesheet href=beside.css>", "request: file:.*beside.css"),
        ("<img src=x onerror='alert(1)'>", "dialog: 1"),
        ("<button onclick='window.open(\"http://127.0.0.1:9/\")'>go</button>", "request: http://127.0.0.1:9/"),
    ],
)
def test_what_a_page_must_not_do_is_noticed(browser, page, body, noticed):
    with pytest.raises(AssertionError, match=noticed), visiting(browser) as open_page:
        opened = open_page(page(body))
        for button in opened.query_selector_all("button"):
            button.click()


def test_what_a_page_forbids_itself_is_noticed(browser, page):
    with pytest.raises(AssertionError, match=r"console: .*Content Security Policy"), visiting(browser) as open_page:
        open_page(page(f"<img src='{PICTURE}'>", POLICY.format("")))


def test_a_page_that_hangs_does_not_hold_the_tests(browser, page):
    with pytest.raises(AssertionError, match=r"no answer: .*500ms"), visiting(browser) as open_page:
        opened = open_page(page("for ever"))
        opened.set_default_timeout(500)
        opened.evaluate("void setTimeout(() => { for (;;); })")


def test_a_browser_named_in_the_environment_is_taken_and_must_be_there(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    monkeypatch.setenv(VARIABLE, str(mine))
    with pytest.raises(FileNotFoundError, match=VARIABLE):
        find()
    mine.touch()
    assert find() == str(mine)


def test_without_a_browser_and_the_right_to_install_one_tests_are_skipped_and_say_what_to_do(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        executable()

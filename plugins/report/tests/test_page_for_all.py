"""The page without a mouse, on any screen, in any scheme, on paper and without scripts."""

from __future__ import annotations

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import BROWSER
from contents import draw_everything

pytestmark = BROWSER


def test_portraits_are_chosen_by_keyboard(page):
    card = page.locator("#person-forgotten")
    before = card.locator(".truth").inner_text()
    card.locator("input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert card.locator("input:checked").get_attribute("value") == "1"
    assert card.locator(".truth").inner_text() != before
    assert page.evaluate("document.activeElement.value") == "1"
    names = [each.get_attribute("aria-label") for each in card.locator("input").all()]
    assert len(names) == 4 and all(name.startswith("Portrait of ") for name in names)


def test_what_the_keyboard_reaches_is_not_under_the_filters(page):
    for button in page.locator("#figures-efficacy .sort").all():
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        button.focus()
        bar = page.locator(".filters").bounding_box()
        assert button.bounding_box()["y"] >= bar["y"] + bar["height"]


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1600, "light")])
def test_axe_finds_nothing(page_of, store, open_page, width, scheme):
    page = open_page(page_of(store), width, 900, scheme)
    draw_everything(page)  # and opens what is folded
    found = Axe().run(page).response["violations"]
    assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


def test_without_scripts_there_are_the_tables(page_of, store, browser, lines):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of(store).as_uri())
    assert page.locator("#verdicts tbody:not(.fixed) tr:visible").count() == len(lines)
    assert page.locator("select:visible, .chart:visible").count() == 0
    assert "Without JavaScript" in page.inner_text("header")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_and_is_legible(page_of, store, open_page, width, scheme):
    page = open_page(page_of(store), width, 900, scheme)
    draw_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("body", ".lead", "td.fails .half", ".badge.holds", "nav a", "#person-forgotten li", ".note"):
        assert contrast(page, selector) >= 4.5, selector
    page.select_option("#theme", "dark" if scheme == "light" else "light")
    for selector in ("body", ".badge.holds", "nav a"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page, selector):
    """Contrast of an element's text with what is behind it (WCAG 2, 1.4.3)."""
    pixels = page.evaluate(
        """(selector) => {
            const element = document.querySelector(selector);
            let behind = element;
            const ground = () => getComputedStyle(behind).backgroundColor;
            while (behind.parentElement && ground() === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
            const canvas = new OffscreenCanvas(2, 1).getContext('2d');
            canvas.fillStyle = getComputedStyle(element).color; canvas.fillRect(0, 0, 1, 1);
            canvas.fillStyle = ground(); canvas.fillRect(1, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 2, 1).data];
        }""",
        selector,
    )
    linear = np.array(pixels).reshape(2, 4)[:, :3] / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    light, dark = sorted(linear @ np.array([0.2126, 0.7152, 0.0722]), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_tables_and_pictures_can_be_read_aloud(page):
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator(".chart:not([aria-label])").count() == 0
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("table th:not([scope])").count() == 0
    assert page.locator("select").evaluate_all(
        "all => all.every((one) => one.labels.length || one.getAttribute('aria-label'))"
    )
    assert page.locator("section").evaluate_all(
        "all => all.every((one) => document.getElementById(one.getAttribute('aria-labelledby')))"
    )


def test_a_dark_page_prints_on_white(page_of, store, open_page):
    page = open_page(page_of(store), 1000, 800, "dark")
    draw_everything(page)
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_timeout(300)
    for selector in ("body", ".badge.holds", ".note", "#verdicts td"):
        assert contrast(page, selector) >= 4.5, selector
    fills = page.locator(".chart svg text").evaluate_all(
        "all => [...new Set(all.map((t) => getComputedStyle(t).fill))]"
    )
    assert fills == ["rgb(31, 35, 40)"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

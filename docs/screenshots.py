"""Takes the pictures of the report that the README and the documentation show.

They are pictures of a page made from real runs; take them again when the page has changed:

    uv run salmu run --all && uv run salmu report
    uv run python docs/screenshots.py report.html [--browser /usr/bin/chromium]
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parent / "_static"
WIDTH = 1320
#: Name of a picture -> the element it shows, and the run to choose in the explorer.
SHOWN = {"report-explorer": ("#people", "cliperase"), "report-tradeoffs": ("#tradeoffs .charts", "")}


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("page", type=Path)
    asked.add_argument("--browser", default="/usr/bin/chromium")
    given = asked.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.browser, args=["--no-sandbox"])
        for shade in ("light", "dark"):
            page = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme=shade)
            page.goto(given.page.resolve().as_uri())
            page.add_style_tag(content=".filters { position: static }")
            page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
            page.wait_for_function(
                "[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))"
            )
            for name, (selector, method) in SHOWN.items():
                if method:
                    option = page.locator("#explorer-run option", has_text=method).first
                    page.select_option("#explorer-run", option.get_attribute("value"))
                taken = Image.open(io.BytesIO(page.locator(selector).screenshot()))
                path = PICTURES / f"{name}-{shade}.webp"
                taken.convert("RGB").save(path, quality=82, method=6)
                print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
        browser.close()


if __name__ == "__main__":
    main()

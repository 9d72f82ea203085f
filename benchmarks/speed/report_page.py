"""How long a report takes to open: its size, and the time until its tables can be read and until all is drawn.

The page is opened in turn with an empty one, in one browser; the difference is the page's own. Needs Playwright (the
development group has it) and a Chromium.

    uv run python benchmarks/speed/report_page.py report.html [--browser /usr/bin/chromium] [--opens 9]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

#: When every picture has been drawn, milliseconds since the page was asked for.
DRAWN = """async () => {
    window.dispatchEvent(new Event('beforeprint'));
    const charts = () => [...document.querySelectorAll('.chart')];
    while (charts().some((chart) => !chart.querySelector('svg'))) await new Promise(requestAnimationFrame);
    return performance.now();
}"""
READ = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("page", type=Path)
    asked.add_argument("--browser", default="/usr/bin/chromium")
    asked.add_argument("--opens", type=int, default=9)
    given = asked.parse_args()
    read, drawn, empty = [], [], []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        blank = Path(folder, "empty.html")
        blank.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=given.browser, args=["--no-sandbox"])
        for _ in range(given.opens):
            page = browser.new_page()
            page.goto(blank.as_uri())
            page.wait_for_timeout(50)
            empty.append(page.evaluate(READ))
            page.goto(given.page.resolve().as_uri())
            page.wait_for_function(f"{READ} > 0")
            read.append(page.evaluate(READ))
            drawn.append(page.evaluate(DRAWN))
            page.close()
        browser.close()
    print(f"size             {given.page.stat().st_size / 1e6:.2f} MB")
    for name, times in (("an empty page", empty), ("can be read", read), ("all is drawn", drawn)):
        print(f"{name:16} {statistics.median(times):6.0f} ms (from {min(times):.0f} to {max(times):.0f})")


if __name__ == "__main__":
    main()

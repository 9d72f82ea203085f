"""The page in a real browser, held against the files it was made from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import BROWSER
from grounds import HOSTILE, HOSTILE_PERSON, KINDS, write_store
from salmu_report.cli import report

from salmu_core.contract.layout import CAPTIONS_METADATA, IDENTITIES
from salmu_core.disk.record import seal_of
from salmu_core.judge.results import Row

pytestmark = BROWSER


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """Makes the page of a results folder, once."""
    made: dict[Path, Path] = {}

    def make(ground):
        if ground.runs not in made:
            made[ground.runs] = tmp_path_factory.mktemp("page") / "report.html"
            report(ground.runs, made[ground.runs], str(ground.benchmark), [], 12, [HOSTILE_PERSON])
        return made[ground.runs]

    return make


@pytest.fixture
def page(page_of, store, open_page):
    return open_page(page_of(store), 1600, 1000, "light")


@pytest.fixture(scope="module")
def lines(store):
    """The table's lines, as `salmu results --json` prints them."""
    return store.read().comparison.as_json()["lines"]


def visible(page, table):
    """Cells of the rows that can be seen."""
    return [
        row.locator("th, td").all_inner_texts() for row in page.locator(f"#{table} tbody:not(.fixed) tr:visible").all()
    ]


def name_of(line):
    return line["label"], f"{line['budget']:g}"


def test_the_leaderboard_has_every_line_and_its_figures(page, store, lines):
    rows = {(cells[0], cells[1]): cells for cells in visible(page, "verdicts")}
    assert rows.keys() == {name_of(line) for line in lines}
    start = json.loads((store.runs / "ground/_references/compromised/metrics.json").read_text())
    before = start["metrics"]["RetFail"]["values"]["RetFail_MRR"]
    header = [text.strip() for text in page.locator("#verdicts thead th").all_inner_texts()]
    gone, modes = header.index("Leak gone"), header.index("Failure modes")
    for line in lines:
        cells = rows[name_of(line)]
        (run,) = [r for r in store.read().results.rows if r.method == line["method"] and is_run_of(r, line)]
        after = json.loads((run.folder / "metrics.json").read_text())["metrics"]["RetFail"]["values"]["RetFail_MRR"]
        assert float(cells[gone].split("%")[0]) == pytest.approx(100 * (1 - after / before), abs=0.06)
        holding = [mode for mode, verdict in line["failure_modes"].items() if verdict == "holds"]
        assert all(f"✕ {mode}" in cells[modes] for mode in holding) and cells[modes].count("✕") == len(holding)
        for aim, name in (("knowledge", "GenKnow"), ("holdouts", "holdouts")):
            mark = cells[header.index(f"Front: {name}")]
            assert mark.split("\n")[0] == {"on": "◆", "tied": "◇", "off": "off the front"}[line["fronts"][aim]]
    figures = {(cells[0], cells[1]): cells for cells in visible(page, "figures-efficacy")}
    header = [text.strip() for text in page.locator("#figures-efficacy thead th").all_inner_texts()]
    for line in lines:
        value, half, gap = figures[name_of(line)][header.index("AssocStr")].split("\n")[:3]
        told = line["figures"]["AssocStr"]
        assert float(value) == pytest.approx(told["value"], abs=6e-4)
        size = max(told["high"] - told["value"], told["value"] - told["low"])
        assert float(half.strip("±°")) == pytest.approx(size, abs=6e-4)
        assert float(gap.rstrip("≈* ")) == pytest.approx(told["difference"]["value"], abs=6e-4)


def is_run_of(row: Row, line) -> bool:
    return row.status == "valid" and row.record is not None and row.record.budget == line["budget"]


def test_columns_sort_by_click_and_by_keyboard(page, lines):
    header = page.locator("#verdicts thead th", has_text="Leak gone")
    button = header.locator("button")
    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    expected = [name_of(line) for line in sorted(lines, key=lambda line: line["leakage_reduction"]["value"])]
    assert [(cells[0], cells[1]) for cells in visible(page, "verdicts")] == expected
    button.focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert [(cells[0], cells[1]) for cells in visible(page, "verdicts")] == expected[::-1]
    page.locator("#verdicts .sort", has_text="Method").press("Space")
    names = [cells[0] for cells in visible(page, "verdicts")]
    assert names == sorted(names, key=str.lower)


def test_references_stay_on_top_of_the_figures(page):
    for _ in range(2):
        page.locator("#figures-efficacy .sort", has_text="RetFail_MRR").click()
        first = page.locator("#figures-efficacy tbody tr:visible th").all_inner_texts()[:2]
        assert first == ["Compromised", "Clean"]


def test_filters_leave_what_is_asked_for(page, lines):
    page.select_option("#budget", "1")
    assert {cells[1] for cells in visible(page, "verdicts")} == {"1"}
    assert page.inner_text("#count") == f"{sum(line['budget'] == 1 for line in lines)} lines"
    page.select_option("#budget", "all")
    for needs in {line["needs"] for line in lines}:
        page.select_option("#needs", needs)
        expected = {name_of(line) for line in lines if line["needs"] == needs}
        assert {(cells[0], cells[1]) for cells in visible(page, "verdicts")} == expected
        assert {(cells[0], cells[1]) for cells in visible(page, "attributes-leak")} == expected


def test_a_seed_has_a_table_of_its_own(page_of, large_store, open_page):
    page = open_page(page_of(large_store), 1600, 1000, "light")
    row = next(
        r for r in large_store.read().results.rows if r.status == "valid" and r.method == "delete" and r.seed == 3
    )
    page.select_option("#seed", "3")
    page.select_option("#budget", f"{row.record.budget:g}")
    header = [text.strip() for text in page.locator("#figures-efficacy thead th").all_inner_texts()]
    (cells,) = [cells for cells in visible(page, "figures-efficacy") if cells[0] == "delete"]
    shown = float(cells[header.index("AssocStr")].split("\n")[0])
    assert shown == pytest.approx(row.metrics["AssocStr"], abs=6e-4)
    runs = page.locator("#verdicts tbody:not(.fixed) tr:visible").all()
    assert len(runs) == 10 and page.inner_text("#count") == "10 lines"


def test_a_hundred_runs_fit_into_six_megabytes(page_of, large_store):
    rows = large_store.read().results.rows
    assert sum(row.status == "valid" for row in rows) == 100
    assert page_of(large_store).stat().st_size < 6_000_000


def test_rows_without_a_result_stand_apart_with_their_reasons(page, store):
    apart = page.locator("h3#invalid + div tbody tr").all_inner_texts()
    results = store.read().results
    assert len(apart) == len(results.invalid) == 3
    for row in results.invalid:
        assert any(row.status in text and row.reason.split("\n")[0] in text for text in apart), row.reason
    assert not {row.folder.name for row in results.invalid} & set(page.locator("#cost tbody th").all_inner_texts())


def test_what_is_in_a_caption_or_a_reason_shows_as_text(page, page_of, store):
    assert page.locator("script").count() == 3 and page.locator("img[src=x]").count() == 0
    assert HOSTILE in page.inner_text("#invalid + div")
    assert "<script>alert(1)" in page.inner_text("header .notice")
    person = page.locator("#choose-forgotten option", has_text="alert(1)")
    page.select_option("#choose-forgotten", person.get_attribute("value"))
    assert "<script>alert(1)</script>" in page.inner_text("#person-forgotten .truth")
    source = page_of(store).read_text(encoding="utf-8")
    assert "<script>alert" not in source and "<img src=x" not in source


def test_scripts_of_others_would_not_run(page_of, store, browser, tmp_path):
    """Even if text got through as markup, the page's policy names its own scripts and no others."""
    source = page_of(store).read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(source.replace("<main>", "<main><script>document.title = 'taken'</script>"), encoding="utf-8")
    policy = re.search(r'content="(default-src [^"]*)"', source).group(1)
    assert "'unsafe-eval'" not in policy and "script-src &#39;sha256-" in policy and "http" not in policy
    page = browser.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(broken.as_uri())
    assert page.title() != "taken" and page.locator("#verdicts tbody tr:visible").count() > 0
    assert any("Content Security Policy" in text for text in refused)
    page.close()


@pytest.mark.parametrize("group", ["forgotten", "half-forgotten", "held-out"])
def test_a_person_shows_what_each_model_finds(page, store, group):
    found = store.read()
    row = next(r for r in found.results.rows if r.status == "valid" and r.method == "negative-gradient")
    page.select_option("#explorer-run", str(row.folder))
    choice = page.locator(f"#choose-{group} option").all()[-1]
    identity = choice.get_attribute("value")
    page.select_option(f"#choose-{group}", identity)
    names = json.loads((store.benchmark / IDENTITIES).read_text())
    assert names[identity]["name"] in choice.inner_text()
    card = page.locator(f"#person-{group}")
    card.locator("label", has=page.locator("input[value='1']")).click()
    caption = card.locator(".truth").inner_text().split("“")[1].rstrip("”")
    reference = store.runs / "ground/_references"
    for role, folder in (
        ("compromised", reference / "compromised"),
        ("unlearned", row.folder),
        ("clean", reference / "clean"),
    ):
        table = pq.read_table(folder / "retrieved.parquet").to_pylist()
        rows = pq.read_table(folder / "per_row.parquet").to_pylist()
        mine = {r["file_name"]: r["value"] for r in rows if r["identity_id"] == identity and r["column"] == "rank"}
        shown = [text.split("\n") for text in card.locator(f".{role} li").all_inner_texts()]
        texts = [re.sub("^[✓!] ", "", parts[-1]) for parts in shown]
        files = [
            name
            for name in mine
            if [r["caption"] for r in sorted(table, key=lambda r: r["place"]) if r["file_name"] == name] == texts
        ]
        assert files, (role, texts)
        rank = re.search(r"ranks ([\d,.]+)", card.locator(f".{role} h4").inner_text()).group(1)
        assert float(rank.replace(",", "")) in {mine[name] for name in files}
        marked = [parts[-1] for parts in shown if parts[-1].startswith("✓")]
        assert all(names[identity]["name"].split()[0] in text for text in marked)
        assert (f"✓ {caption}" in marked) == (caption in texts)
        # Whatever else tells something private is somebody else's, and is called so.
        private = {fact["caption"] for fact in json.loads((store.benchmark / CAPTIONS_METADATA).read_text()).values()}
        others = {parts[-1].removeprefix("! ") for parts in shown if parts[-1].startswith("!")}
        assert others == {text for text in texts if text in private and f"✓ {text}" not in marked}


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


def test_what_matches_no_filter_says_so_and_is_undone(page, lines):
    trained = next(line["method"] for line in lines if line["needs"] != "weights only")
    page.select_option("#method", trained)
    page.select_option("#needs", "weights only")
    assert visible(page, "verdicts") == [["Nothing matches the filters."]] and page.inner_text("#count") == "0 lines"
    page.locator("#verdicts .sort", has_text="Method").click()
    page.click("#reset")
    assert len(visible(page, "verdicts")) == len(lines) and page.locator("#reset").is_hidden()


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


def draw_everything(page):
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")


def test_trade_offs_have_a_point_for_each_line_that_is_asked_for(page, lines):
    draw_everything(page)
    chart = page.locator(".chart[data-spec='knowledge']")

    def points():
        marks = chart.locator(".mark-symbol path[aria-roledescription='point']").all()
        return [mark.get_attribute("aria-label") or "" for mark in marks]

    described = [label for label in points() if "method:" in label]
    assert len(described) >= len(lines)
    page.select_option("#needs", "weights only")
    fewer = sum(line["needs"] == "weights only" for line in lines)
    page.wait_for_function(
        "(n) => [...document.querySelectorAll(\".chart[data-spec='knowledge'] path[aria-roledescription='point']\")]"
        ".filter((p) => (p.getAttribute('aria-label') ?? '').includes('failure modes')).length === n",
        arg=fewer,
    )


def test_histograms_follow_the_method_and_the_split(page, lines):
    panels = page.locator("#histogram-panels figure")
    assert panels.count() == 5
    page.select_option("#histogram-split", "holdout_identity")
    assert panels.count() == 1
    page.select_option("#histogram-line", "")
    assert panels.count() == len(lines)
    page.locator("#histogram-panels").scroll_into_view_if_needed()
    page.wait_for_selector("#histogram-panels svg")


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


def test_a_page_without_the_data_says_why_and_shows_the_rest(store, open_page, tmp_path):
    out = tmp_path / "bare.html"
    report(store.runs, out, None, [], 12, [])
    page = open_page(out, 1200, 900, "light")
    assert "No portraits of ground: no installed benchmark is called ground" in page.inner_text("#explorer")
    assert "--benchmark PATH" in page.inner_text("#explorer")
    assert len(visible(page, "verdicts")) == len(store.read().comparison.lines)
    assert page.locator("#attributes table").count() == 0 and page.locator("#attributes .panel").count() == 1


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


def test_odd_budgets_names_and_errors(ground, open_page, tmp_path):
    """Budgets no decimal writes whole, scalars called like what every object has, and a metric that failed."""
    made = write_store(tmp_path / "runs", ground, KINDS[:3], budgets=(1 / 3, 5.0), failures=False)
    (run, *_) = sorted(made.runs.glob("ground/vlunlearn/*/b5-s0/run.json"))
    record = json.loads(run.read_text())
    record["scalars"] |= {"constructor": [[0, 1.0], [9, 2.0]], "__proto__": [[0, 1.0], [9, 2.0]]}
    run.write_text(json.dumps({**record, "seal": seal_of(record)}))
    metrics = run.with_name("metrics.json")
    record = json.loads(metrics.read_text())
    record["metrics"]["GenKnow"] |= {"error": "the device <b>exploded</b>", "values": {}}
    metrics.write_text(json.dumps({**record, "seal": seal_of(record)}))
    out = tmp_path / "odd.html"
    report(made.runs, out, str(ground), [], 6, [])
    page = open_page(out, 1200, 900, "light")
    assert "has no GenKnow: the device <b>exploded</b>" in page.inner_text("main")
    page.select_option("#budget", label="0.333333")
    assert len(visible(page, "verdicts")) == 3 and page.locator("#cost tbody tr:visible").count() == 3
    draw_everything(page)
    points = "[...document.querySelectorAll(\".chart[data-spec='kept'] path[aria-roledescription='point']\")]"
    points += ".filter((p) => (p.getAttribute('aria-label') ?? '').includes('failure modes')).length"
    assert page.evaluate(points) == 3
    page.select_option("#budget", "all")
    page.select_option("#curve-method", "vlunlearn")
    titles = page.locator("#curve-panels .chart").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert sum("constructor" in title for title in titles) == 1
    page.select_option("#method", "vlunlearn")
    assert {cells[0] for cells in visible(page, "figures-utility")} == {"vlunlearn"}
    assert page.locator(".provenance details:visible").count() == 2


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

"""The page in a real browser, held against the files it was made from."""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest
from contents import draw_everything, name_of
from grounds import HOSTILE, KINDS, write_store
from salmu_report.cli import report

from salmu_core.contract.layout import CAPTIONS_METADATA, IDENTITIES
from salmu_core.disk.record import seal_of
from salmu_core.judge.results import Row


def visible(page, table):
    """Cells of the rows that can be seen."""
    return [
        row.locator("th, td").all_inner_texts() for row in page.locator(f"#{table} tbody:not(.fixed) tr:visible").all()
    ]


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


def test_what_matches_no_filter_says_so_and_is_undone(page, lines):
    trained = next(line["method"] for line in lines if line["needs"] != "weights only")
    page.select_option("#method", trained)
    page.select_option("#needs", "weights only")
    assert visible(page, "verdicts") == [["Nothing matches the filters."]] and page.inner_text("#count") == "0 lines"
    page.locator("#verdicts .sort", has_text="Method").click()
    page.click("#reset")
    assert len(visible(page, "verdicts")) == len(lines) and page.locator("#reset").is_hidden()


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


def test_a_page_without_the_data_says_why_and_shows_the_rest(store, open_page, tmp_path):
    out = tmp_path / "bare.html"
    report(store.runs, out, None, [], 12, [])
    page = open_page(out, 1200, 900, "light")
    assert "No portraits of ground: no installed benchmark is called ground" in page.inner_text("#explorer")
    assert "--benchmark PATH" in page.inner_text("#explorer")
    assert len(visible(page, "verdicts")) == len(store.read().comparison.lines)
    assert page.locator("#attributes table").count() == 0 and page.locator("#attributes .panel").count() == 1


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

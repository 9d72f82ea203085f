"""What pages are made of, read for tests."""

from __future__ import annotations

import pyarrow.parquet as pq
from salmu_report.report import Report, views
from salmu_report.summaries import summarise


def rows_of(folder, metric, column):
    """File name -> value, read without the code that is tested."""
    table = pq.read_table(folder / "per_row.parquet").to_pylist()
    return {line["file_name"]: line["value"] for line in table if (line["metric"], line["column"]) == (metric, column)}


def report_of(found, people):
    missing = {world: "not here" for world in found.results.worlds if world not in people}
    summaries = summarise(found.store, found.results, people, missing, 12, [], lambda *_: None)
    tables = tuple(views(found.comparison, found.figures))
    return Report(found.store, tables, found.figures, summaries, "", "salmu report")


def name_of(line):
    return line["label"], f"{line['budget']:g}"


def draw_everything(page):
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")

"""Tables of drawn results."""

import csv
import io
import json
from pathlib import Path

from entries import shown
from studies import Maker, record

from salmu_core.judge.compare import compare
from salmu_core.judge.results import Row
from salmu_core.show.spreadsheet import spreadsheet
from salmu_core.show.table import table

SHOWN = shown()
REFERENCES = json.loads((Path(__file__).with_name("data") / "published.json").read_text())["metrics"]
MAKE = Maker(REFERENCES)
HOSTILE = "<script>alert(1)</script> | `x` **b** [l](https://e.example) ![i](u) &lt; $m$ \\| ~~s~~ <!-- -->"


def valid(method, world=0, seed=0, budget=5.0, config=None, **changes):
    means = {**REFERENCES["compromised"], **changes}
    return MAKE.row(method, means, world, seed, budget, config=config, spread=0.01 * (world > 0))


def no_result(method, reason, status="crashed"):
    return Row(Path("runs/x"), "mini", method, record(method, status="crashed"), status, reason)


def compared(rows, worlds=1, spread=0.0):
    return compare(MAKE.results(rows, worlds, spread), SHOWN)


def as_csv(comparison):
    return spreadsheet(table(comparison, SHOWN))


ROWS = [
    valid("finetuning"),
    valid("delete", RetFail_MRR=0.0008, InterIdSim=-0.4, IntraIdSim=-0.4),
    valid("delete", budget=1.0, RetFail_MRR=0.1),
    no_result("bad", "it fell"),
]


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))

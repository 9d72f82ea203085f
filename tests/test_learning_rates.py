"""Default learning rates are those that the search by probe chose."""

import csv
from pathlib import Path

from salmu_core.plugins import discover

TABLE = Path(__file__).parent.parent / "benchmarks" / "learning_rates.tsv"


def test_defaults_are_the_chosen_ones():
    with TABLE.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    chosen = {row["method"]: float(row["lr"]) for row in rows if row["chosen"]}
    methods = discover().methods
    assert chosen == {name: methods[name].spec.config().lr for name in chosen}
    # All that train by default were searched; noise alone does not.
    assert set(methods) - set(chosen) == {"descent-to-delete"}

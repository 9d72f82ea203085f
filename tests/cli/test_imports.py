"""Listings must answer at once: nothing on their way may import torch."""

import json
import subprocess
import sys

import pytest

CODE = """
import sys
sys.argv = {argv!r}
from salmu_core.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [m for m in ("torch", "numpy", "accelerate", "open_clip", "pyarrow", "sklearn") if m in sys.modules]
print(heavy, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    ["--help", "run --help", "plugins", "methods", "methods cliperase", "metrics", "metrics ACS", "benchmarks"],
)
def test_listings_do_not_import_torch(words):
    code = CODE.format(argv=["salmu", *words.split()])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr


def test_the_public_names_cost_no_torch():
    code = "import sys, salmu_core, salmu_core.losses; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("what", ["plugins", "methods", "metrics", "benchmarks"])
def test_every_listing_speaks_json(salmu, what):
    items = json.loads(salmu(what, "--json").stdout)
    assert items and all("name" in item and "version" in item for item in items)

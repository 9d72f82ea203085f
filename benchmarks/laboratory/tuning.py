"""Makes the log of a search for settings of every method: as many trials and the same budget for each.

Trials are scored by `probe()` alone, on a world that no table shows; docs/tune.md says how. Interrupted, the same
command goes on; given several times at once, on machines that share the results folder, it is done sooner.

    uv run python benchmarks/laboratory/tuning.py
"""

import argparse
import subprocess
import sys
from pathlib import Path

from salmu_core.contract.search import searches
from salmu_core.plugins.zoo import discover

LOG = Path(__file__).with_name("tuning.tsv")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--benchmark", default="mini@200")
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--output", default="runs")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("methods", nargs="*", help="by default all that have something to search")
    given = parser.parse_args()
    zoo = discover()
    methods = given.methods or [name for name, it in zoo.methods.items() if any(searches(it.spec.config))]
    words = ["--benchmark", given.benchmark, "--trials", given.trials, "--budget", given.budget]
    words += ["--output", given.output, "--export", given.log]
    words += ["--processes", given.processes] if given.processes else []
    done = subprocess.run([sys.executable, "-m", "salmu_core", "tune", *methods, *map(str, words)])
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()

"""What a listing costs, beside importing the parts of pydantic, typer and rich that it is made of.

Each is a process of its own; a round starts all of them in turn, and the figure is the median, over the rounds, of the
ratio of their processor seconds. The first round, in which plugins may be imported to be remembered, does not count.

    uv run python benchmarks/speed/start_up.py [--rounds 9] [-- methods] [...]
"""

import argparse
import os
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path

LIBRARIES = (
    "from pydantic import BaseModel\nimport typer\nfrom rich.console import Console\nfrom rich.table import Table"
)
SALMU = str(Path(sysconfig.get_path("scripts"), "salmu"))
LISTINGS = ("--help", "methods", "methods cliperase", "metrics", "attacks", "benchmarks", "plugins", "run --help")


def seconds(*command):
    """Processor seconds of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--salmu", default=SALMU, help="another installation's command")
    parser.add_argument("listings", nargs="*", default=LISTINGS)
    asked = parser.parse_args()
    libraries, taken = [], {words: [] for words in asked.listings}
    for _ in range(asked.rounds + 1):
        libraries.append(seconds(sys.executable, "-c", LIBRARIES))
        for words, times in taken.items():
            times.append(seconds(asked.salmu, *words.split()))
    print(f"{statistics.median(libraries[1:]):.3f} s  the libraries alone")
    for words, times in taken.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times[1:], libraries[1:], strict=True))
        print(f"{statistics.median(times[1:]):.3f} s  {ratio:.2f} times that: salmu {words}")


if __name__ == "__main__":
    main()

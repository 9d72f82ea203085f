"""What an interval over people costs at full size, beside a bootstrap that gathers the rows of each person anew.

30,468 rows of 580 people, as SALMUBench's forget set has, and 2,000 resamples. Both are timed in turn, in one process;
the figure is the ratio of their times, pair by pair.

    uv run python benchmarks/speed/bootstrap.py [--pairs 3]
"""

import argparse
import statistics
import time

import numpy as np

from salmu_core.judge.statistics import RESAMPLES, Clusters, interval

ROWS, PEOPLE = 30_468, 580


def by_person(values, people):
    """The percentile interval, person by person."""
    rng, rows = np.random.default_rng(42), [np.flatnonzero(people == p) for p in np.unique(people)]
    draws = rng.integers(0, len(rows), (RESAMPLES, len(rows)))
    means = [values[np.concatenate([rows[i] for i in draw])].mean() for draw in draws]
    return np.quantile(means, [0.025, 0.975])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    rng = np.random.default_rng(0)
    people = np.array([f"{i:08d}" for i in rng.integers(0, PEOPLE, ROWS)])
    values = 1 / np.floor(1 + rng.exponential(50, ROWS))
    ratios = []
    for _ in range(parser.parse_args().pairs):
        start = time.perf_counter()
        found = interval(Clusters.of(values, people.tolist()))
        middle = time.perf_counter()
        theirs = by_person(values, people)
        end = time.perf_counter()
        ratios.append((end - middle) / (middle - start))
        print(f"{middle - start:.2f} s [{found.low:.5f}, {found.high:.5f}]; {end - middle:.2f} s {theirs.round(5)}")
    print(f"person by person takes {statistics.median(ratios):.0f} times as long")


if __name__ == "__main__":
    main()

"""A plan as people read it, and as schedulers do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from salmu_core.cli.output import console, print_text, say
from salmu_core.show.escape import shell, visible
from salmu_core.store.folders import Store
from salmu_plan.form import Form
from salmu_plan.lines import Line


def show(form: Form, lines: Sequence[Line], planned: int, store: Store) -> None:
    """Print it.

    Args:
        planned: How many there are with the finished ones.
    """
    if form is Form.TABLE:
        _show_table(lines, planned, store)
        return
    texts = {Form.JSONL: jsonl, Form.SHELL: plain, Form.SLURM: slurm_array, Form.HYPERQUEUE: hyperqueue}
    print_text("".join(f"{text}\n" for text in texts[form](lines)))
    if not lines:
        say(f"Nothing to plan: all of it is finished, in {store.root}.", stderr=True)


def jsonl(lines: Iterable[Line]) -> list[str]:
    """An object a line."""
    return [json.dumps(line.as_json()) for line in lines]


def plain(lines: Iterable[Line]) -> list[str]:
    """A command a line."""
    return [line.command for line in lines]


def hyperqueue(lines: Iterable[Line]) -> list[str]:
    """A ``hq submit`` a line."""
    submits = []
    for line in lines:
        words = ["hq", "submit", "--name", line.method, "--cpus", "1", "--crash-limit", "3"]
        words += ["--resource", f"gpus/nvidia={line.cards:g}"] if line.cards else []
        words += ["--resource", f"mem={math.ceil(1024 * line.memory_gb)}"] if line.memory_gb else []
        words += ["--time-request", f"{line.minutes}m"] if line.minutes else []
        submits.append(f"{shell(words)} -- {line.command}")
    return submits


def slurm_array(lines: Sequence[Line]) -> list[str]:
    """A batch script whose array has a task for each line, with room for the largest."""
    if not lines:
        return []
    memory, minutes = (max(filter(None, values), default=None) for values in _needs(lines))
    script = ["#!/bin/bash", f"#SBATCH --array=0-{len(lines) - 1}", "#SBATCH --cpus-per-task=2"]
    script += [f"#SBATCH --gres=gpu:{math.ceil(max(line.cards for line in lines))}"] if lines[0].cards else []
    script += [f"#SBATCH --mem={math.ceil(memory)}G"] if memory else []
    script += [f"#SBATCH --time={math.ceil(minutes)}"] if minutes else []
    script += ["#SBATCH --requeue", "", "case $SLURM_ARRAY_TASK_ID in"]
    return [*script, *(f"{number}) exec {line.command} ;;" for number, line in enumerate(lines)), "esac"]


def _needs(lines: Sequence[Line]) -> tuple[list[float | None], list[float | None]]:
    return [line.memory_gb for line in lines], [line.minutes for line in lines]


def _show_table(lines: Sequence[Line], planned: int, store: Store) -> None:
    screen, table = console(), Table(box=None, pad_edge=False)
    for name in ("method", "benchmark", "budget", "seed", "cards", "memory", "minutes"):
        table.add_column(name, justify="left" if name in ("method", "benchmark") else "right", no_wrap=True)
    for line in lines:
        memory = "-" if line.memory_gb is None else f"{line.memory_gb:.3g} GB"
        cells = [f"{line.budget:g}", str(line.seed), f"{line.cards:g}", memory, str(line.minutes or "-")]
        table.add_row(*(Text(visible(cell)) for cell in (line.method, line.benchmark, *cells)))
    if lines:
        screen.print(table)
    left, total = len(lines), sum(line.minutes or 0 for line in lines)
    known = all(line.minutes for line in lines) and bool(lines)
    say(
        (f"\n{left} of {planned} runs are to be made" if left else f"Nothing to do: all {planned} runs are finished")
        + f", in {store.root}."
        + (f" One after another they take at most {total:,} minutes." if known else "")
        + ("" if known or not lines else " What runs of a method take is known once one of it is finished.")
    )
    if lines:
        say("--as shell, jsonl, slurm-array or hyperqueue prints their commands.")

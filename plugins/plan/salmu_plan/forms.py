"""Plans as schedulers read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING

from salmu_core.show.escape import shell

if TYPE_CHECKING:
    from salmu_plan.lines import Line


class Form(StrEnum):
    """For whom a plan is written."""

    TABLE = "table"
    JSONL = "jsonl"
    SHELL = "shell"
    SLURM = "slurm-array"
    HYPERQUEUE = "hyperqueue"


def jsonl(lines: Sequence[Line]) -> str:
    """A JSON object a line: ``label``, ``command``, ``runs``, ``finished``, ``cards``, ``memory`` (GB), ``minutes``,
    ``by``."""
    rows = ({**asdict(line), "needs": None, **asdict(line.needs)} for line in lines)
    return "".join(
        json.dumps({k: v for k, v in row.items() if k != "needs"}, ensure_ascii=False) + "\n" for row in rows
    )


def plain(lines: Sequence[Line]) -> str:
    """A command a line, for a shell, GNU parallel or xargs."""
    return "".join(line.command + "\n" for line in lines)


def slurm(lines: Sequence[Line]) -> str:
    """A script for ``sbatch``: an array with a task for each line, each given what the costliest needs."""
    cards, memory, minutes = _most(lines)
    head = ["#!/bin/bash", f"#SBATCH --array=0-{len(lines) - 1}", "#SBATCH --job-name=salmu"]
    head += [f"#SBATCH --time={minutes}", f"#SBATCH --mem={memory}G", "#SBATCH --cpus-per-task=1"]
    head += [f"#SBATCH --gres=gpu:{cards}"] if cards else []
    cases = [f"{number}) {line.command} ;;" for number, line in enumerate(lines)]
    return "\n".join([*head, "", "case $SLURM_ARRAY_TASK_ID in", *cases, "esac", ""])


def hyperqueue(lines: Sequence[Line]) -> str:
    """A script that hands every line to a HyperQueue server as a job of its own."""
    jobs = []
    for line in lines:
        words = [
            "hq",
            "submit",
            "--name",
            line.label[:40],
            "--cpus",
            "1",
            "--resource",
            f"mem={line.needs.memory * 1000}",
        ]
        words += ["--resource", f"gpus/nvidia={line.needs.cards}"] if line.needs.cards else []
        words += ["--time-request", f"{line.needs.minutes}m", "--", "bash", "-c", line.command]
        jobs.append(shell(words))
    return "\n".join(["#!/bin/bash", "set -e", *jobs, ""])


def _most(lines: Sequence[Line]) -> tuple[int, int, int]:
    needs = [line.needs for line in lines]
    return max(n.cards for n in needs), max(n.memory for n in needs), max(n.minutes for n in needs)

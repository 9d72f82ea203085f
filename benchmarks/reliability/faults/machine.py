"""A results folder as a state machine: hypothesis makes up stories of starts, kills, damage, deletions and redoings.

Whatever was done to it, what is shown as a result is what an undisturbed study shows, or is said to be damaged or
missing; and the study's own command makes all of it whole in the end.
"""

from __future__ import annotations

import errno
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from faults.calls import Nth, failing
from faults.flips import flip
from faults.kills import killed
from faults.subject import RUNS, Subject, hidden
from faults.tallies import Trial
from faults.trials import forked, orphans, salmu

#: Model -> name -> value.
Figures = dict[str, dict[str, Any]]
SEEDS = "0-1"
#: Steps of a story.
STEPS = 5


class Story(RuleBasedStateMachine):
    """One results folder, from empty to whole."""

    subject: Subject
    wanted: Figures
    told: list[str]

    def __init__(self) -> None:
        super().__init__()
        self._opened = self.subject.place()
        self.place = self._opened.__enter__()
        type(self).told = []

    @rule(seeds=st.sampled_from(["0", "1", SEEDS]))
    def study(self, seeds: str) -> None:
        """Make one run or both."""
        self._tell(f"study of seeds {seeds}")
        self.subject.run(self.place, more=["--seed", seeds])

    @rule(number=st.integers(1, 40), after=st.booleans())
    def killed(self, number: int, after: bool) -> None:
        """Make both, and be killed at a rename."""
        self._tell(f"killed at rename {number}")
        killed(self.subject, self.place, ["rename"], number, after)
        assert not orphans(self.place)

    @rule(number=st.integers(1, 80), name=st.sampled_from(["write", "fsync", "open"]), redo=st.booleans())
    def failed(self, number: int, name: str, redo: bool) -> None:
        """Make both, perhaps again, on a disk that fails once."""
        self._tell(f"{name} {number} fails{', with --redo' * redo}")
        nth = Nth([name], number, failing(errno.EIO))
        self.subject.run(self.place, nth, more=["--redo"] * redo)
        nth.close()
        assert not orphans(self.place)

    @rule()
    def redo(self) -> None:
        """Make one again."""
        self._tell("redo")
        self.subject.run(self.place, more=["--seed", "0", "--redo"])

    @rule(which=st.randoms(use_true_random=False))
    def damage(self, which: Random) -> None:
        """Flip a bit of a file."""
        if files := self._files():
            path = which.choice(files)
            offset, bit = flip(path, which)
            self._tell(f"byte {offset} of {path.relative_to(self.place)} ^ {bit}")

    @rule(which=st.randoms(use_true_random=False), whole=st.booleans())
    def delete(self, which: Random, whole: bool) -> None:
        """Delete a file, or all that lies beside it."""
        if files := self._files():
            path = which.choice(files)
            self._tell(f"{path.relative_to(self.place)} is deleted{', and all beside it' * whole}")
            if whole:
                shutil.rmtree(path.parent)
            else:
                path.unlink()

    @invariant()
    def shows_nothing_else(self) -> None:
        """What `salmu results` shows."""
        if not (self.place / RUNS).is_dir():
            return
        for model, figures in shown(self.place).items():
            other = [name for name, value in figures.items() if value != self.wanted[model][name]]
            assert not other, f"after {self.told}: of {model}, another {other[0]} is shown"

    def teardown(self) -> None:
        """In the end, all is made."""
        ended = self.subject.run(self.place)
        assert ended.code == 0, f"after {self.told}: exit {ended.code}: {ended.text}"
        faults = self.subject.faults(self.place)
        assert not faults, f"after {self.told}: {faults}"
        self._opened.__exit__(None, None, None)

    def _files(self) -> list[Path]:
        root = self.place / RUNS
        paths = (path for path in root.rglob("*") if path.is_file() and not hidden(path.relative_to(root)))
        return sorted(path for path in paths if path.stat().st_size)

    def _tell(self, text: str) -> None:
        self.told.append(text)


def shown(place: Path) -> Figures:
    """The figures that `salmu results` shows of each run and reference model for which it does not say why not."""

    def look() -> int:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(io.StringIO()):
            salmu(["results", "--output", RUNS, "--json"])
        Path("shown.json").write_text(said.getvalue(), encoding="utf-8")
        return 0

    forked(place, look)
    try:
        listing = json.loads((place / "shown.json").read_text(encoding="utf-8"))
    except ValueError:  # it has refused
        return {}
    figures = {
        f"{run['method']} s{run['seed']}": run["metrics"]
        for run in listing["runs"]
        if run["status"] == "valid" and not run["metric_errors"]
    }
    return figures | listing["references"]


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """So many stories."""
    both = Subject(subject.work / "stories", ["--seed", SEEDS])
    machine = type("Story", (Story,), {"subject": both, "wanted": shown(both.undisturbed)})
    how = settings(
        max_examples=count, stateful_step_count=STEPS, deadline=None, database=None, print_blob=False,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    wrong = ""
    try:
        run_state_machine_as_test(seed(rng.getrandbits(32))(machine), settings=how)
    except AssertionError as error:
        wrong = str(error)
    yield Trial(f"{count} stories of up to {STEPS} steps", "not the same" if wrong else "as they should be", wrong)

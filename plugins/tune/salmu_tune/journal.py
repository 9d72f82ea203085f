"""The journal of a search: every trial of every method, shared by all processes and machines that take part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from salmu_core.disk.files import make_home
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.locks import held
from salmu_core.errors import FileError, StoreError
from salmu_tune.objective import WORST
from salmu_tune.space import Space

JOURNAL, LOCKS = "journal.log", ".trials"
#: What is known of a trial beside its values: what became of its run in each world, and why there was none.
WORLDS, REASON = "worlds", "reason"
#: World -> what became of the run there; its ``objective`` counts.
Worlds = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Claim:
    """A trial that is this process's to make.

    Attributes:
        number: From 0, which is the default.
        settings: Those of the search, and those that are fixed.
        known: A finished trial of the same settings.
    """

    trials: Trials
    number: int
    settings: dict[str, Any]
    known: FrozenTrial | None = None

    def tell(self, worlds: Worlds, reason: str = "") -> float:
        """Write down what came of it; returns its objective, the mean of the worlds' own.

        Args:
            worlds: What became of its runs.
            reason: Why there was none.
        """
        values = [float(facts["objective"]) for facts in worlds.values()]
        value = sum(values) / len(values) if values else WORST
        self.trials.tell(self.number, value, worlds, reason)
        return value

    def repeat(self, trial: FrozenTrial) -> None:
        """Write down that it came out as another trial of the same settings."""
        assert trial.value is not None
        self.trials.tell(self.number, trial.value, trial.user_attrs[WORLDS], trial.user_attrs[REASON])


class Journal:
    """A folder with the journal of a search.

    Args:
        folder: Made where it is absent.

    Raises:
        StoreError: The journal can't be read, or not be written.
    """

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder = folder.absolute()  # what the lock links to must be found from anywhere
        with self.locked():
            path = str(self.folder / JOURNAL)
            # Of Optuna's two locks the one that old network file systems have, too.
            self._storage = JournalStorage(JournalFileBackend(path, JournalFileSymlinkLock(path)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal against everybody else; what is wrong with it is a sentence.

        Raises:
            StoreError: It can't be read, locked or written.
        """
        path = self.folder / JOURNAL
        try:
            make_home(self.folder)
            with held(path.with_name(f".{JOURNAL}.lock")):
                yield
        except FileError as error:
            raise StoreError(f"{path} can't be locked: {error.reason}.") from error
        except OSError as error:
            raise StoreError(f"{path} can't be read or written: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # whatever a damaged line turns into
            raise StoreError(
                f"{path} is damaged ({type(error).__name__}: {error}): delete its folder, and the search begins anew."
            ) from error

    def trials(self, method: str, facts: Mapping[str, Any], space: Space) -> Trials:
        """The trials of a method, by what they must have in common to be compared.

        Args:
            method: The method.
            facts: What tells this search from others of the method.
            space: What is searched.
        """
        name = f"{method}-{hash_json(facts)[:12]}"
        with self.locked():
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
            )
            for fact, value in facts.items():
                if study.user_attrs.get(fact) != value:
                    study.set_user_attr(fact, value)
            return Trials(self, self._storage, study, space)


class Trials:
    """The trials of one method.

    Args:
        journal: Where they are written down.
        study: As Optuna has them.
        space: What is searched.
    """

    def __init__(self, journal: Journal, storage: JournalStorage, study: optuna.Study, space: Space) -> None:
        self._journal, self._storage, self._study, self._space = journal, storage, study, space
        self._id = storage.get_study_id_from_name(study.study_name)

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that have a value, by their numbers."""
        with self._journal.locked():
            return [trial for trial in self._study.trials if trial.state == TrialState.COMPLETE]

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial's settings, and those that are fixed."""
        if trial.number == 0:
            return {**self._space.fixed, **self._space.default}
        return {**self._space.fixed, **self._space.rounded(trial.params)}

    @contextmanager
    def claim(self, wanted: int) -> Iterator[Claim | None]:
        """Take over a trial that nobody makes any more, or begin a new one; None where there is nothing to make now.

        It is this process's as long as the block lasts: somebody who is killed in it leaves it to others.

        Args:
            wanted: Trials that there are to be in all.
        """
        with ExitStack() as stack:
            with self._journal.locked():
                trial = self._next(wanted, stack)
            yield Claim(self, trial.number, self.settings(trial), self._known(trial)) if trial else None

    def tell(self, number: int, value: float, worlds: Worlds, reason: str = "") -> None:
        """Write down what came of a trial.

        Args:
            value: Its objective.
            worlds: What became of its runs.
            reason: Why there was none.
        """
        with self._journal.locked():
            trial = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            self._storage.set_trial_user_attr(trial, WORLDS, worlds)
            self._storage.set_trial_user_attr(trial, REASON, reason)
            self._study.tell(number, value)

    def _next(self, wanted: int, stack: ExitStack) -> FrozenTrial | None:
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if self._may_be_made(trial, trials) and self._hold(trial.number, stack):
                return trial
        begun = sum(trial.state != TrialState.WAITING for trial in trials)
        if begun >= wanted:
            return None
        if not trials:
            self._study.enqueue_trial(self._space.default)
        seed = int(hash_json([self._study.study_name, begun])[:8], 16)
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            # A sampler for each trial: what it suggests depends on the trials before it, and not on who made them.
            self._study.sampler = TPESampler(seed=seed, constant_liar=True)
        number = self._study.ask(self._space.distributions()).number
        trials = self._study.get_trials(deepcopy=False)
        may = self._may_be_made(trials[number], trials) and self._hold(number, stack)
        return trials[number] if may else None

    def _may_be_made(self, trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
        """Whether a trial is unfinished, and no earlier one of the same settings is: that one's result will do."""
        unfinished = (it for it in trials if it.state == TrialState.RUNNING and it.params == trial.params)
        first = next(unfinished, None)
        return first is not None and first.number == trial.number

    def _known(self, trial: FrozenTrial) -> FrozenTrial | None:
        """A finished trial of the same settings."""
        return next((it for it in self.finished if it.params == trial.params), None)

    def _hold(self, number: int, stack: ExitStack) -> bool:
        lock = self._journal.folder / LOCKS / f"{self._study.study_name}-{number}.lock"
        with ExitStack() as mine:
            if mine.enter_context(held(lock, wait=False)):
                stack.push(mine.pop_all())
                return True
        return False

"""``salmu references train``: from a request to two models in a folder."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from salmu_core.cli.progress import reporting
from salmu_core.contract.layout import Role
from salmu_core.disk.files import make_home
from salmu_core.errors import STOPPED, BenchmarkError, SalmuError, UsageError
from salmu_core.machine import usable_cores, without_secrets
from salmu_core.run.accelerator import accelerate
from salmu_core.run.launch import place as launched
from salmu_core.run.reporter import Reporter
from salmu_references.recipe import Recipe, read_recipe
from salmu_references.record import SetRef, TrainingRecord, begin, write

if TYPE_CHECKING:
    from salmu_core.train.place import Accelerated
    from salmu_references.sources import Pairs, Part

#: Readers of one process unless more are asked for, where an accelerator waits for them.
MAX_READERS = 8


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    arch: str | None
    retain: list[str]
    sensitive: Path | None
    out: Path
    only: Role | None
    config: Path | None
    settings: list[str]
    workers: int | None
    piece: int
    threads: int
    save_steps: int
    save_minutes: float
    keep: int

    @property
    def roles(self) -> list[Role]:
        """The models to train."""
        return [self.only] if self.only else list(get_args(Role))


def train(request: Request) -> int:
    """Train what is missing of the pair; returns the exit code."""
    rank, _ = launched()
    with reporting(to_stderr=False, first=rank == 0) as reporter:
        try:
            recipe, config, parts = _checked(request)
        except SalmuError as error:
            if rank:  # the first process says it
                return error.exit_code
            raise
        place = _place(recipe, request.threads)
        recipe = recipe.model_copy(update={"precision": place.accelerator.mixed_precision})
        sets = {name: _measured(name, sources, recipe, place, reporter) for name, sources in parts.items()}
        retain, sensitive = sets["retain"], sets.get("sensitive")
        _fit(recipe, retain, sensitive, place.world)
        wanted = TrainingRecord(
            recipe=recipe,
            config=config,
            retain=SetRef.of(retain),
            sensitive=SetRef.of(sensitive) if sensitive else None,
        )
        return _train(request, wanted, retain, sensitive, place, reporter)


def _checked(request: Request) -> tuple[Recipe, dict[str, Any], dict[str, list[tuple[Path, str]]]]:
    """Every mistake in the request comes out before torch is told anything."""
    recipe = read_recipe(request.config, request.settings, request.arch)
    if not request.retain:
        raise UsageError("Give the retain pairs: --retain 'shards/{00000..00099}.tar', or a folder.")
    if request.sensitive is None and "compromised" in request.roles:
        raise UsageError("Compromised is trained on sensitive pairs: give --sensitive DIR, or train --only clean.")
    from salmu_references.sources import find_retain, find_sensitive

    parts = {"retain": find_retain(request.retain)}
    if request.sensitive is not None and "compromised" in request.roles:
        parts["sensitive"] = find_sensitive(request.sensitive)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch reads this once
    from salmu_references.architecture import new_model, read_architecture

    config = read_architecture(recipe.arch)
    new_model(config, recipe)  # seconds, where looking through the pairs may take hours
    return recipe, config, parts


def _place(recipe: Recipe, threads: int) -> Accelerated:
    from accelerate.utils import DistributedType

    from salmu_core.train.place import Accelerated

    # Looking through shards takes one process longer than another.
    accelerator = accelerate(recipe.precision, threads, datetime.timedelta(hours=2), asked_by="precision =")
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise UsageError(
            "accelerate is configured to cut models into pieces (FSDP or DeepSpeed); these fit as wholes: "
            "accelerate launch --multi_gpu."
        )
    return Accelerated(accelerator)


def _measured(
    name: str, sources: Sequence[tuple[Path, str]], recipe: Recipe, place: Accelerated, reporter: Reporter
) -> Pairs:
    """Look through all parts, each process its share, and tell each other."""
    from accelerate.utils import gather_object

    from salmu_references.sources import Pairs, measure

    reporter.begin(f"{name} pairs", "looking through")
    own_parts: list[tuple[int, Part]] = []
    numbers = list(range(place.rank, len(sources), place.world))
    for done, number in enumerate(numbers):
        reporter.step(done, len(numbers), {})
        own_parts.append((number, measure(*sources[number], lambda row, of: reporter.step(row, of, {}))))
    all_parts = gather_object(own_parts) if place.world > 1 else own_parts
    parts: list[Part] = [part for _, part in sorted(all_parts, key=lambda pair: pair[0])]
    pairs = Pairs(name, parts, 2 * recipe.shuffle)
    left_out = sum(part.left_out for part in parts)
    if not len(pairs):
        raise BenchmarkError(
            f"The {name} set is empty: none of {left_out:,} samples in {len(parts)} files has an image and a caption."
        )
    files = "part" if len(parts) == 1 else "parts"
    note = f", {left_out:,} samples without image or caption left out" if left_out else ""
    reporter.say(f"{name}: {len(pairs):,} pairs in {len(parts):,} {files}{note}")
    return pairs


def _fit(recipe: Recipe, retain: Pairs, sensitive: Pairs | None, world: int) -> None:
    if recipe.batch > len(retain):
        raise UsageError(
            f"A batch of {recipe.batch:,} is more than the {len(retain):,} retain pairs: "
            f"--set batch={max(2, min(256, len(retain) // 8))}."
        )
    if recipe.batch < world:
        raise UsageError(f"A batch of {recipe.batch} is less than a pair for each of {world} processes.")
    steps = recipe.total_steps(len(retain))
    if sensitive is not None and recipe.sensitive_draws(len(retain), len(sensitive)) < 1:
        raise UsageError(f"{steps:,} steps show no sensitive pair even once: --set sensitive_passes=1 or more.")


def _train(
    request: Request,
    wanted: TrainingRecord,
    retain: Pairs,
    sensitive: Pairs | None,
    place: Accelerated,
    reporter: Reporter,
) -> int:
    from salmu_references.training import Job, Saving, Stopped, train_model

    out = request.out.expanduser().resolve()
    record = begin(out, wanted)
    place.wait()  # all have looked before the first one writes
    saving = Saving(request.save_steps, request.save_minutes, request.keep)
    with ExitStack() as locks:
        if place.rank == 0:
            make_home(out)
            for role in request.roles:
                _claim(locks, out, role)
            write(out, record)
        reporter.plan(len(request.roles))
        for role in request.roles:
            job = Job(
                role,
                record,
                retain,
                sensitive if role == "compromised" else None,
                out,
                _workers(request.workers, place),
                request.piece,
                saving,
                tuple(map(without_secrets, ["salmu", *sys.argv[1:]])),
            )
            if role in record.models and (out / role).is_dir():
                if place.rank == 0:  # it may have been stopped before it could
                    job.keeper.clear()
                reporter.end(f"{role}: done earlier, in {out / role}")
                continue
            _announce(job.cut, role, place.world, reporter)
            try:
                model = train_model(job, place, reporter)
            except Stopped as stopped:
                reporter.say(f"Stopped at step {stopped.args[0]:,}; its checkpoint is kept, the same command goes on.")
                return STOPPED
            except KeyboardInterrupt:
                reporter.say("Stopped. The last checkpoint is kept; the same command goes on from there.")
                return STOPPED
            if place.rank == 0:
                write(out, record, role, model)
                job.keeper.clear()
            rate = (model.retain_samples + model.sensitive_samples) / max(model.seconds, 1e-9)
            reporter.end(f"{role}: {model.steps:,} steps in {model.seconds:,.0f} s, {rate:,.0f} pairs/s, {out / role}")
            place.accelerator.free_memory()
    return 0


def _claim(locks: ExitStack, out: Path, role: Role) -> None:
    from filelock import FileLock, Timeout

    lock = FileLock(out / f".{role}.lock")
    try:
        locks.enter_context(lock.acquire(blocking=False))
    except Timeout:
        raise UsageError(f"Another process is training {role} in {out}: --only trains the other one.") from None


def _announce(cut: Any, role: Role, world: int, reporter: Reporter) -> None:
    recipe, steps = cut.recipe, cut.steps
    passes = steps * recipe.batch / len(cut.retain)
    sentence = f"{role}: {steps:,} steps of {recipe.batch:,} retain pairs, each seen {passes:.3g} times"
    if cut.sensitive is not None:
        passes = cut.draws / len(cut.sensitive)
        sentence += f", and {cut.draws / steps:.3g} sensitive pairs, each seen {passes:.3g} times"
    reporter.say(sentence + (f"; {-(-cut.size(0) // world):,} pairs in each of {world} processes" if world > 1 else ""))


def _workers(asked: int | None, place: Accelerated) -> int:
    if asked is not None:
        return asked
    if place.device.type == "cpu":
        return 0
    return max(1, min(MAX_READERS, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))

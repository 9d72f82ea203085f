"""The rules of conformance: what must hold of methods, metrics, attacks and benchmarks, and what to do otherwise.

The trials beside this file find out whether they hold. Importing this costs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One rule of conformance.

    Attributes:
        name: As it stands in reports, test ids and ``known_failures``.
        demand: What must hold, in a sentence.
        remedy: What to do where it doesn't.
    """

    name: str
    demand: str
    remedy: str


_DECLARED = (
    Rule(
        "loads",
        "The plugin is found, imported and declares what its hooks promise.",
        "`salmu plugins` shows the same sentence, and with SALMU_DEBUG=1 the traceback.",
    ),
    Rule(
        "named",
        "A plugin of one declaration has an entry point of its name.",
        "Rename the entry point in pyproject.toml, or the declaration.",
    ),
    Rule(
        "api-range",
        "The distribution says which API versions of salmu-core it was written for.",
        'Depend on a range with both ends, as in "salmu-core>=0.2,<0.3".',
    ),
    Rule(
        "provenance",
        "The declaration says where it is published and what differs here.",
        "Fill in `summary`, `paper` (where it is kept, if unpublished) and, but for a metric, `departures`.",
    ),
)

_CONFIG = Rule(
    "config",
    "The settings have described fields, refuse unknown ones, and survive being written as JSON.",
    "Derive the class from TrainingConfig, or from MethodConfig where nothing is trained, and give every field a "
    "Field(description=...).",
)

_BEHAVED = (
    Rule(
        "current",
        "It uses nothing that is deprecated.",
        "The warning names what to use instead, and the API version in which the old way ends.",
    ),
    Rule("ends", "It ends.", "Look for a loop without an end; a method's `ctx.budget` says what may still be drawn."),
    Rule(
        "alive",
        "It leaves the process alive.",
        "Raise an exception instead of ending the process; look for os._exit, signals and native crashes.",
    ),
    Rule(
        "random",
        "It neither draws from nor seeds the global random generators.",
        "Draw from a generator of your own: a method from `ctx.rng`, `ctx.randn_like` or `step.permutation`, an "
        "attack that trains nothing from `ctx.random`, a metric from numpy.random.default_rng(a constant); put library "
        "code that draws, such as torch.nn.Linear(), into a `with torch.random.fork_rng():`.",
    ),
    Rule(
        "globals",
        "It leaves the state of the process as it found it.",
        "Use context managers (torch.no_grad, monkeypatching in tests only) and put back what you change.",
    ),
    Rule(
        "files",
        "It writes no file but temporary ones.",
        "Return what you found, or keep it with `ctx.log`; the runner writes checkpoints and records.",
    ),
    Rule(
        "alone",
        "It starts no other process and opens no connection.",
        "Ship what it needs with the plugin; results must not depend on a network.",
    ),
)

METHOD_RULES: tuple[Rule, ...] = (
    *_DECLARED,
    _CONFIG,
    Rule(
        "runs",
        "A run on a small benchmark ends without an exception.",
        "`salmu_core.testing.run_method` makes the same run in your own process, for a debugger.",
    ),
    *_BEHAVED,
    Rule(
        "changes",
        "At least one weight of ctx.model changes.",
        "The result is what is in ctx.model: change it in place, by ctx.fit or inside ctx.edit().",
    ),
    Rule(
        "finite",
        "Loss and weights stay finite.",
        "Lower the default learning rate, bound the loss, and guard divisions and logarithms.",
    ),
    Rule(
        "shape",
        "Names, shapes and types of the model's tensors stay as they were.",
        "Change values only: no new parameters, no .half(), no resizing; merge adapters before returning.",
    ),
    Rule(
        "original",
        "Compromised and ctx.reference stay untouched.",
        "Write to ctx.model only; copy.deepcopy what you need a second model of.",
    ),
    Rule(
        "tidy",
        "Gradient flags, gradients, hooks and parametrisations of ctx.model are as they were.",
        "Choose parameters by ctx.fit(params=...), remove hooks in a `finally`, use torch.autograd.grad.",
    ),
    Rule(
        "budget",
        "It draws no more pairs than its budget allows.",
        "Let ctx.fit and ctx.gradients stop by themselves; look at ctx.budget in a loop of your own.",
    ),
    Rule(
        "one-batch",
        "It survives a forget set smaller than one batch.",
        "Take batch sizes from the batch itself (len(step.forget)), and don't assume a second step.",
    ),
    Rule(
        "same-bytes",
        "The same seed gives the same bytes, whatever ran before.",
        "Keep no state in the module between runs, and draw random numbers from ctx.rng only.",
    ),
    Rule(
        "elsewhere",
        "The same seed gives the same bytes in another process.",
        "Look for sets of strings, hash() and the clock: sort, or use dicts, which keep their order.",
    ),
    Rule(
        "resumes",
        "A run that is interrupted, and goes on from what was kept of it, leaves the same bytes.",
        "Keep what a loss carries from step to step in ctx.state or in a module of ctx.fit(also=...), which are saved; "
        "of a method that names this rule in `known_failures` nothing is, and an interrupted run begins again.",
    ),
    Rule(
        "loop",
        "Training happens in ctx.fit, which owns the optimizer, the schedule and precision.",
        "Call ctx.fit(loss, steps=..., params=..., config=...), several times if need be; ctx.gradients for gradients.",
    ),
    Rule(
        "terms",
        "A gradient flows from each named term of a loss.",
        "Look for .detach(), torch.no_grad(), .item() or an argmax in the term; log what is only to be looked at.",
    ),
    Rule(
        "blind",
        "The result does not depend on anything but the forget set, the retain set and Compromised.",
        "Use what the context gives; holdouts, the zero-shot set and Clean are for the judge.",
    ),
    Rule(
        "bf16",
        "A run under bfloat16 mixed precision ends as well.",
        "Leave types to autocast, call .float() where precision matters, and compare tensors of one type.",
    ),
)

METRIC_RULES: tuple[Rule, ...] = (
    *_DECLARED,
    Rule(
        "computes",
        "It returns a MetricResult with each figure it declares once, finite and within its bounds.",
        "`salmu evaluate` shows the same sentence.",
    ),
    *_BEHAVED,
    Rule(
        "splits",
        "It reads the splits it declares, and all of them.",
        "Make `reads` list exactly what compute() asks its context for.",
    ),
    Rule(
        "rows",
        "It returns values by row (or by person) for each figure, from which intervals are made.",
        "Return PerRow(split, values), or {figure: values} of several figures, and no value: it is their mean.",
    ),
    Rule(
        "untouched",
        "The embeddings that all metrics share stay as they are.",
        "Copy before changing in place: x = ctx.images(split).clone().",
    ),
    Rule(
        "same-bits",
        "The same weights give the same bits, whatever was computed before.",
        "Keep no state between calls, and seed a generator of your own in each.",
    ),
    Rule(
        "elsewhere",
        "The same weights give the same bits in another process.",
        "Look for sets of strings, hash() and the clock: sort, or use dicts, which keep their order.",
    ),
    Rule(
        "responds",
        "Different models get different values.",
        "A figure that no model changes measures nothing: look at what compute() does with the embeddings.",
    ),
    Rule(
        "small",
        "It works on a benchmark of a dozen rows.",
        "Use what there is where a pool is smaller than you would like, and record its size in `details`.",
    ),
)

ATTACK_RULES: tuple[Rule, ...] = (
    *_DECLARED,
    _CONFIG,
    Rule(
        "runs",
        "An attack on the models of a small benchmark ends without an exception.",
        "`salmu_core.testing.run_attack` carries it out in your own process, for a debugger.",
    ),
    *_BEHAVED,
    Rule(
        "given",
        "It asks for what `given` lists, for all of it and for nothing else, and lets a refusal through.",
        "List in `given` what the attacker is to hold; don't catch an AttackError that says it is not given.",
    ),
    Rule(
        "untouched",
        "The attacked checkpoint, Compromised and Clean stay as they are.",
        "Change ctx.model only, by ctx.fit or inside ctx.edit(); copy what you are shown before changing it in place.",
    ),
    Rule(
        "result",
        "A model that it leaves is another one, finite, and of the shape it came with.",
        "Change values only, and some of them; lower the default learning rate; merge adapters before the end.",
    ),
    Rule(
        "same-bits",
        "The same checkpoint and seed give the same bits, whatever was attacked before.",
        "Keep no state between calls, and draw from ctx.rng (an attack on the model) or ctx.random.",
    ),
    Rule(
        "elsewhere",
        "The same checkpoint and seed give the same bits in another process.",
        "Look for sets of strings, hash() and the clock: sort, or use dicts, which keep their order.",
    ),
    Rule(
        "small",
        "It works on a benchmark of a dozen forget rows, at its default settings.",
        "Use what there is where there is less than you would like; tell of it by ctx.log, or a reading's `details`.",
    ),
    Rule(
        "bf16",
        "An attack on the model ends under bfloat16 mixed precision as well.",
        "Leave types to autocast, call .float() where precision matters, and compare tensors of one type.",
    ),
    Rule(
        "succeeds",
        "It gets more out of a model that knows the forget rows than out of one that never saw them.",
        "An attack that finds nothing where everything is can't show that it is gone: look at what it asks, reads or "
        "trains, and at its default settings.",
    ),
)

#: That it is built well is what `salmu_core.testing.assert_sound_benchmark` finds out.
BENCHMARK_RULES: tuple[Rule, ...] = (
    *_DECLARED[:3],
    Rule(
        "settings",
        "The settings it recommends are such as the methods have, as far as these are installed.",
        "Correct `settings` in the declaration: `salmu methods NAME` lists the fields of a method and what they allow.",
    ),
)

#: The rules of each kind of declaration.
RULES: dict[str, tuple[Rule, ...]] = {
    "method": METHOD_RULES,
    "metric": METRIC_RULES,
    "attack": ATTACK_RULES,
    "benchmark": BENCHMARK_RULES,
    # One that can't be used, so that nobody knows what it would declare.
    "plugin": METHOD_RULES[:1],
}

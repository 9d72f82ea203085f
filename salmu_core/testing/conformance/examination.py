"""Conformance: examines an installed method, metric, attack or benchmark, rule by rule, whatever it does.

    test_conformance = check_method("my-method")

is a whole test module. Importing this costs no torch.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from salmu_core.contract.settings import fitting
from salmu_core.contract.specs import BenchmarkSpec, MetricSpec
from salmu_core.contract.version import API_VERSION, CORE, core_requirements
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, PluginRow, Zoo, discover
from salmu_core.show.escape import visible_lines
from salmu_core.testing.conformance.findings import Finding, Report, Verdict
from salmu_core.testing.conformance.journal import Told
from salmu_core.testing.conformance.request import Request
from salmu_core.testing.conformance.rules import RULES, Rule
from salmu_core.testing.conformance.supervisor import Trial

#: Of the two processes: sets of strings have another order in each, and the same every time.
_HASH_SEEDS = (1, 4321)
#: Seconds a plugin may be busy with one thing before it counts as endless.
PATIENCE = 60.0
_PLACEHOLDER = re.compile(r"https?://(www\.)?example\.(org|com|net)(/|$)")


class ConformanceAdvice(UserWarning):
    """Something about a plugin that breaks nothing and could be better."""


def check_method(name: str, *, patience: float = PATIENCE, **settings: Any) -> Callable[..., None]:
    """A pytest test, parametrised by rule, of an installed method.

    Use it as ``test_conformance = check_method("my-method")``. A rule the method is known to break stands in
    ``MethodSpec.known_failures`` with its reason, where everybody sees it; a rule can't be left out here.

    Args:
        name: The method's name.
        patience: Seconds a run may take before it counts as endless.
        settings: Fields of its configuration that are not to be as they are by default: ``loss="delete"`` of a wrapper.
    """
    return _test("method", name, patience, **settings)


def check_metric(name: str, *, patience: float = PATIENCE) -> Callable[..., None]:
    """A pytest test, parametrised by rule, of an installed metric; see `check_method`."""
    return _test("metric", name, patience)


def check_attack(name: str, *, patience: float = PATIENCE, **settings: Any) -> Callable[..., None]:
    """A pytest test, parametrised by rule, of an installed attack; see `check_method`.

    Args:
        settings: Fields of its configuration, to make it short; once it is made as it is by default.
    """
    return _test("attack", name, patience, **settings)


def check_benchmark(name: str) -> Callable[..., None]:
    """A pytest test, parametrised by rule, of an installed benchmark's declaration; nothing is built."""
    return _test("benchmark", name, PATIENCE)


def examine(
    kind: str,
    name: str,
    *,
    patience: float = PATIENCE,
    on_stage: Callable[[str], None] = lambda stage: None,
    only: Collection[str] = (),
    **settings: Any,
) -> Report:
    """Examine an installed method, metric, attack or benchmark.

    Args:
        kind: ``method``, ``metric``, ``attack`` or ``benchmark``; or ``plugin``, for one that can't be used.
        name: Its name.
        patience: Seconds it may be busy with one thing.
        on_stage: Told what is being done.
        only: Names of the rules that are of interest, if not all are: the report has no others, and comes sooner.
        settings: As of `check_attack`.

    Raises:
        UnknownNameError: Nothing of that name is installed, not even broken; or there is no such rule.
    """
    start = time.perf_counter()
    rules, zoo = tuple(rule for rule in RULES[kind] if not only or rule.name in only), discover(fresh=True)
    asked = frozenset(rule.name for rule in rules)
    for unknown in {*only} - asked:
        raise UnknownNameError("rule", unknown, [rule.name for rule in RULES[kind]])
    shelf: Mapping[str, Declared[Any]] = {} if kind == "plugin" else zoo.shelves[kind]
    row = _broken_row(zoo, kind, name) if name not in shelf else None
    declared = None if row is not None else shelf[name]
    problems: dict[str, tuple[str | None, bool]] = {}
    if declared is None:
        assert row is not None
        problems["loads"] = row.problem, False
        plugin, module = f"{row.distribution} {row.version}", row.module
    else:
        plugin, module = f"{declared.distribution} {declared.version}", declared.module
        problems |= _declaration(declared, zoo)
        if asked - problems.keys():
            problems |= _tried(kind, declared, _row(zoo, declared), patience, on_stage, asked, settings)
    known: Mapping[str, str] = getattr(declared.spec, "known_failures", {}) if declared else {}
    if strange := sorted(set(known) - {rule.name for rule in RULES[kind]}):
        problems["loads"] = f"known_failures names {', '.join(strange)}, which is no rule", False
    who = f"{kind} {name!r} of {plugin}"
    findings = tuple(_finding(rule, problems, known.get(rule.name), who) for rule in rules)
    return Report(kind, name, plugin, _hash(module), _environment(), findings, round(time.perf_counter() - start, 1))


def _test(kind: str, name: str, patience: float, **settings: Any) -> Callable[..., None]:
    import pytest

    @cache
    def report() -> Report:
        return examine(kind, name, patience=patience, **settings)

    @pytest.mark.salmu_conformance
    @pytest.mark.xdist_group("salmu conformance")  # one process has the servers, and examines each plugin once
    @pytest.mark.parametrize("rule", [rule.name for rule in RULES[kind]])
    def test(rule: str) -> None:
        finding = report()[rule]
        if finding.verdict == "known":
            pytest.xfail(finding.sentence)
        if finding.verdict == "not run":
            pytest.skip(finding.sentence)
        if finding.verdict == "failed":
            pytest.fail(finding.sentence, pytrace=False)
        if finding.verdict == "advice":
            import warnings

            warnings.warn(finding.sentence, ConformanceAdvice, stacklevel=1)

    test.__doc__ = f"Rules of conformance of {kind} {name!r}."
    return test


def _finding(rule: Rule, problems: Mapping[str, tuple[str | None, bool]], reason: str | None, who: str) -> Finding:
    if rule.name not in problems:
        return Finding(rule.name, "not run", f"{who}: {rule.name!r} was not reached, because of what failed before.")
    problem, advice = problems[rule.name]
    verdict: Verdict = "passed"
    sentence = ""
    if problem is not None:
        verdict = "known" if reason else "advice" if advice else "failed"
        verb = "could do better by" if verdict == "advice" else "breaks"
        sentence = f"{who} {verb} the rule {rule.name!r}: {_stopped(problem)} {rule.remedy}"
        if verdict == "known":
            sentence = f"{_stopped(problem)} Known: {reason}"
    elif reason:
        verdict = "failed"
        sentence = (
            f"{who} lists {rule.name!r} in known_failures ({reason}), but it holds. Take it out, so that it is noticed "
            "when it breaks."
        )
    return Finding(rule.name, verdict, visible_lines(sentence))  # it may quote what a plugin raised


def _stopped(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _broken_row(zoo: Zoo, kind: str, name: str) -> PluginRow | None:
    for row in zoo.problems:
        if row.name == name or row.stands_for(kind, name):
            return row
    return None


def _row(zoo: Zoo, declared: Declared[Any]) -> PluginRow:
    owns = (declared.distribution, declared.module)
    return next(row for row in zoo.plugins if (row.distribution, row.module) == owns)


def _declaration(declared: Declared[Any], zoo: Zoo) -> dict[str, tuple[str | None, bool]]:
    """What can be said without running anything."""
    spec, row = declared.spec, _row(zoo, declared)
    single = len(row.declares) == 1
    named = None if row.name == spec.name or not single else f"its entry point is called {row.name!r}"
    api_range = _open_range(declared.distribution), False
    always = {"loads": (row.problem, False), "named": (named, False), "api-range": api_range}
    if isinstance(spec, BenchmarkSpec):
        return {**always, "settings": (_refused(spec, zoo), False)}
    source = spec.departures or getattr(spec, "code", "")
    vague = f"its paper is the placeholder {spec.paper}" if _PLACEHOLDER.match(spec.paper) else None
    if "REPLACE" in spec.summary + spec.departures:
        vague = "its summary or its departures still say REPLACE"
    silent = None if source or isinstance(spec, MetricSpec) else "it names neither departures nor reference code"
    return {**always, "provenance": (vague or silent, True)}


def _refused(spec: BenchmarkSpec, zoo: Zoo) -> str | None:
    """What an installed method says against the settings that a benchmark recommends for it."""
    for name in (name for name in spec.settings if name in zoo.methods):
        try:
            fitting(zoo.methods[name].spec, spec.settings[name], spec.name)
        except UsageError as error:
            return str(error)
    return None


def _open_range(name: str) -> str | None:
    try:
        stated = core_requirements(distribution(name).requires)
    except PackageNotFoundError:
        stated = []
    for requirement in stated:
        signs = {specifier.operator for specifier in requirement.specifier}
        closed = signs & {"<", "<=", "==", "~="} and signs & {">", ">=", "==", "~="}
        return None if closed else f"it depends on {requirement}, a range without both ends"
    return f"{name} does not depend on {CORE}"


def _tried(
    kind: str,
    declared: Declared[Any],
    row: PluginRow,
    patience: float,
    on_stage: Callable[[str], None],
    rules: frozenset[str],
    settings: dict[str, Any],
) -> dict[str, tuple[str | None, bool]]:
    """What processes say that run it: two, where that matters."""
    scratch = Path(tempfile.mkdtemp(prefix="salmu-check-"))
    trials: list[Trial] = []
    try:
        for hash_seed in _HASH_SEEDS if "elsewhere" in rules else _HASH_SEEDS[:1]:
            folder = scratch / str(hash_seed)
            folder.mkdir()
            request = Request(
                kind=kind,
                name=declared.spec.name,
                distribution=declared.distribution,
                entry_point=(row.name, row.module),
                scratch=folder,
                path=tuple(sys.path),
                rules=rules,
                settings=settings,
                twice=bool(trials),
            )
            trials.append(Trial(request, hash_seed))
        first = trials[0]
        told = first.wait(patience, on_stage)
        verdicts = dict(told.rules) | _ending(told, patience, first.output())
        if told.facts and len(trials) > 1:
            on_stage("comparing with another process")
            second = trials[1]
            verdicts["elsewhere"] = _compared(told, second.wait(patience), second.output()), False
        return verdicts
    finally:
        for trial in trials:
            trial.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def _ending(told: Told, patience: float, output: str) -> dict[str, tuple[str | None, bool]]:
    if told.ended:
        return {"ends": (None, False), "alive": (None, False)}
    if told.exit_code is None:
        return {"ends": (f"{told.stage} was still going after {patience:g} s", False)}
    said = f"; it said: {output.splitlines()[-1]}" if output else ""
    return {"ends": (None, False), "alive": (f"{told.stage} ended the process with {told.exit_code}{said}", False)}


def _compared(first: Told, second: Told, output: str) -> str | None:
    if not second.facts:
        said = next((p for p, advice in second.rules.values() if p and not advice), output[-300:])
        return f"in another process, {second.stage} came to nothing: {said}"
    other = [what for what, value in first.facts.items() if second.facts.get(what, value) != value]
    return f"another process, which began with another one, got other bytes for {other[0]}" if other else None


def _hash(module: str) -> str:
    try:
        return code_hash(module)
    except (ImportError, ValueError):
        return ""


def _environment() -> dict[str, str]:
    libraries: Sequence[str] = (CORE, "torch", "open-clip-torch")
    machine = {"python": platform.python_version(), "on": f"{platform.system()} {platform.machine()}"}
    return {"API": API_VERSION, **{name: version(name) for name in libraries}, **machine}

"""The four hooks. Each returns declarations; none is called for its side effects."""

import pluggy

from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.kinds import PROJECT
from salmu_core.contract.specs import BenchmarkSpec, MethodSpec, MetricSpec

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a plugin's implementation of a hook.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def salmu_methods() -> list[MethodSpec]:  # type: ignore[empty-body]
    """Return the unlearning methods this plugin brings."""


@hookspec
def salmu_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]
    """Return the metrics this plugin brings."""


@hookspec
def salmu_benchmarks() -> list[BenchmarkSpec]:  # type: ignore[empty-body]
    """Return the benchmarks this plugin brings."""


@hookspec
def salmu_attacks() -> list[AttackSpec]:  # type: ignore[empty-body]
    """Return the attacks this plugin brings."""


#: Hook name -> what each of its items must be.
HOOKS: dict[str, type[MethodSpec] | type[MetricSpec] | type[BenchmarkSpec] | type[AttackSpec]] = {
    "salmu_methods": MethodSpec,
    "salmu_metrics": MetricSpec,
    "salmu_benchmarks": BenchmarkSpec,
    "salmu_attacks": AttackSpec,
}

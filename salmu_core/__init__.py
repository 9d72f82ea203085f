"""SALMU: the zoo and the judge of association-level unlearning for CLIP models.

These are the names a plugin needs; each is imported when it is first used, and none but those of `train` costs torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from salmu_core.contract import layout

if TYPE_CHECKING:
    from salmu_core.benchmark.writer import write_json, write_split, write_split_stream, write_zeroshot
    from salmu_core.contract.attack import (
        AttackSpec,
        ModelAttackContext,
        Query,
        QueryContext,
        Reading,
        ReadoutContext,
        Stage,
    )
    from salmu_core.contract.config import LearningRate, MethodConfig, Optimisation, TrainingConfig, Weight
    from salmu_core.contract.context import MethodContext, Room
    from salmu_core.contract.features import Features, Pairs, PoolName
    from salmu_core.contract.hookspecs import hookimpl
    from salmu_core.contract.layout import Split
    from salmu_core.contract.line_search import line_search
    from salmu_core.contract.masks import masked
    from salmu_core.contract.metric_context import MetricContext
    from salmu_core.contract.model import ClipModel
    from salmu_core.contract.moments import input_moments
    from salmu_core.contract.negation import NegationConfig, negate, task_vector
    from salmu_core.contract.pair import Pair
    from salmu_core.contract.probe import Probe
    from salmu_core.contract.progress import Progress
    from salmu_core.contract.projections import projection
    from salmu_core.contract.recommended import Recommended
    from salmu_core.contract.results import MetricResult, PerRow, Ranks, Retrieved
    from salmu_core.contract.search import Search
    from salmu_core.contract.specs import Band, BenchmarkSpec, HubRepo, MethodSpec, MetricSpec, Release
    from salmu_core.contract.stand_ins import at_weights
    from salmu_core.contract.steps import Batch, Step
    from salmu_core.contract.surgery import by_rows, rejected
    from salmu_core.contract.wrapping import WrapperConfig
    from salmu_core.contract.zeroshot import ZeroShot
    from salmu_core.errors import (
        AttackError,
        BenchmarkError,
        MethodError,
        MetricError,
        NotMeasuredError,
        SalmuError,
        UsageError,
    )
    from salmu_core.machine import usable_cores
    from salmu_core.train.references import Feed, Reference, train_pair, train_reference
    from salmu_core.train.settings import PairConfig

__all__ = [
    "AttackError",
    "AttackSpec",
    "Band",
    "Batch",
    "BenchmarkError",
    "BenchmarkSpec",
    "ClipModel",
    "Features",
    "Feed",
    "HubRepo",
    "LearningRate",
    "MethodConfig",
    "MethodContext",
    "MethodError",
    "MethodSpec",
    "MetricContext",
    "MetricError",
    "MetricResult",
    "MetricSpec",
    "ModelAttackContext",
    "NegationConfig",
    "NotMeasuredError",
    "Optimisation",
    "Pair",
    "PairConfig",
    "Pairs",
    "PerRow",
    "PoolName",
    "Probe",
    "Progress",
    "Query",
    "QueryContext",
    "Ranks",
    "Reading",
    "ReadoutContext",
    "Recommended",
    "Reference",
    "Release",
    "Retrieved",
    "Room",
    "SalmuError",
    "Search",
    "Split",
    "Stage",
    "Step",
    "TrainingConfig",
    "UsageError",
    "Weight",
    "WrapperConfig",
    "ZeroShot",
    "at_weights",
    "by_rows",
    "hookimpl",
    "input_moments",
    "layout",
    "line_search",
    "masked",
    "negate",
    "projection",
    "rejected",
    "task_vector",
    "train_pair",
    "train_reference",
    "usable_cores",
    "write_json",
    "write_split",
    "write_split_stream",
    "write_zeroshot",
]

#: Module -> the names that are imported from it.
_HOME = {
    "benchmark.writer": "write_json write_split write_split_stream write_zeroshot",
    "contract.attack": "AttackSpec ModelAttackContext Query QueryContext Reading ReadoutContext Stage",
    "contract.config": "LearningRate MethodConfig Optimisation TrainingConfig Weight",
    "contract.context": "MethodContext Room",
    "contract.features": "Features Pairs PoolName",
    "contract.hookspecs": "hookimpl",
    "contract.layout": "Split",
    "contract.line_search": "line_search",
    "contract.masks": "masked",
    "contract.metric_context": "MetricContext",
    "contract.model": "ClipModel",
    "contract.moments": "input_moments",
    "contract.negation": "NegationConfig negate task_vector",
    "contract.pair": "Pair",
    "contract.probe": "Probe",
    "contract.progress": "Progress",
    "contract.projections": "projection",
    "contract.recommended": "Recommended",
    "contract.results": "MetricResult PerRow Ranks Retrieved",
    "contract.search": "Search",
    "contract.specs": "Band BenchmarkSpec HubRepo MethodSpec MetricSpec Release",
    "contract.stand_ins": "at_weights",
    "contract.steps": "Batch Step",
    "contract.surgery": "by_rows rejected",
    "contract.wrapping": "WrapperConfig",
    "contract.zeroshot": "ZeroShot",
    "errors": "AttackError BenchmarkError MethodError MetricError NotMeasuredError SalmuError UsageError",
    "machine": "usable_cores",
    "train.references": "Feed Reference train_pair train_reference",
    "train.settings": "PairConfig",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value

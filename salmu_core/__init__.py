"""SALMU: the zoo and the judge of association-level unlearning for CLIP models.

These are the names a plugin needs. Importing them costs no torch.
"""

from salmu_core.contract.config import LearningRate, MethodConfig, TrainingConfig, Weight
from salmu_core.contract.context import MethodContext, MetricContext
from salmu_core.contract.hookspecs import hookimpl
from salmu_core.contract.results import MetricResult, PerRow, Retrieved
from salmu_core.contract.specs import Band, BenchmarkSpec, HubRepo, MethodSpec, MetricSpec, Release
from salmu_core.contract.steps import Batch, Step

__all__ = [
    "Band",
    "Batch",
    "BenchmarkSpec",
    "HubRepo",
    "LearningRate",
    "MethodConfig",
    "MethodContext",
    "MethodSpec",
    "MetricContext",
    "MetricResult",
    "MetricSpec",
    "PerRow",
    "Release",
    "Retrieved",
    "Step",
    "TrainingConfig",
    "Weight",
    "hookimpl",
]

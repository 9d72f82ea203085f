"""What plugins test with: conformance, a benchmark of a few rows, fixed embeddings, one run by hand, whole studies.

    from salmu_core.testing import check_method

    test_conformance = check_method("my-method")

Names are imported when first used: a test module that only checks conformance costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmu_core.testing.attacks import attack_context, run_attack
    from salmu_core.testing.benchmarks import assert_sound_benchmark
    from salmu_core.testing.conformance import (
        ConformanceAdvice,
        check_attack,
        check_benchmark,
        check_method,
        check_metric,
        examine,
    )
    from salmu_core.testing.fixed import FixedPairs, fixed_step
    from salmu_core.testing.numbers import (
        loss_values,
        numpy_contrastive,
        numpy_contrastive_rows,
        numpy_divergence,
        random_pairs,
        unit,
    )
    from salmu_core.testing.runs import assert_uses_budget, metric_context, run_method
    from salmu_core.testing.studies import begin_study, end_study, study_content, typed, wait_for
    from salmu_core.testing.tiny import tiny_model, write_tiny_benchmark

__all__ = [
    "ConformanceAdvice",
    "FixedPairs",
    "assert_sound_benchmark",
    "assert_uses_budget",
    "attack_context",
    "begin_study",
    "check_attack",
    "check_benchmark",
    "check_method",
    "check_metric",
    "end_study",
    "examine",
    "fixed_step",
    "loss_values",
    "metric_context",
    "numpy_contrastive",
    "numpy_contrastive_rows",
    "numpy_divergence",
    "random_pairs",
    "run_attack",
    "run_method",
    "study_content",
    "tiny_model",
    "typed",
    "unit",
    "wait_for",
    "write_tiny_benchmark",
]

_HOME = {
    "attacks": ("attack_context", "run_attack"),
    "benchmarks": ("assert_sound_benchmark",),
    "conformance": ("ConformanceAdvice", "check_attack", "check_benchmark", "check_method", "check_metric", "examine"),
    "fixed": ("FixedPairs", "fixed_step"),
    "numbers": (
        "loss_values",
        "numpy_contrastive",
        "numpy_contrastive_rows",
        "numpy_divergence",
        "random_pairs",
        "unit",
    ),
    "runs": ("assert_uses_budget", "metric_context", "run_method"),
    "studies": ("begin_study", "end_study", "study_content", "typed", "wait_for"),
    "tiny": ("tiny_model", "write_tiny_benchmark"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)

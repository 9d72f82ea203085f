"""Conformance: examines an installed method, metric, attack or benchmark, rule by rule, whatever it does.

examination -> supervisor -> server -> trial -> method_trial, metric_trial or attack_trial; the journal leads back.
Importing this costs no torch.
"""

from salmu_core.testing.conformance.examination import (
    ConformanceAdvice,
    check_attack,
    check_benchmark,
    check_method,
    check_metric,
    examine,
)
from salmu_core.testing.conformance.findings import Finding, Report
from salmu_core.testing.conformance.rules import ATTACK_RULES, BENCHMARK_RULES, METHOD_RULES, METRIC_RULES, RULES, Rule

__all__ = [
    "ATTACK_RULES",
    "BENCHMARK_RULES",
    "METHOD_RULES",
    "METRIC_RULES",
    "RULES",
    "ConformanceAdvice",
    "Finding",
    "Report",
    "Rule",
    "check_attack",
    "check_benchmark",
    "check_method",
    "check_metric",
    "examine",
]

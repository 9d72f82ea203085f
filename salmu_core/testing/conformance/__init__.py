"""Conformance: examines an installed method or metric, rule by rule, whatever it does.

examination -> supervisor -> server -> trial -> method_trial or metric_trial; the journal leads back. Importing this
costs no torch.
"""

from salmu_core.testing.conformance.examination import ConformanceAdvice, check_method, check_metric, examine
from salmu_core.testing.conformance.findings import Finding, Report
from salmu_core.testing.conformance.rules import METHOD_RULES, METRIC_RULES, RULES, Rule

__all__ = [
    "METHOD_RULES",
    "METRIC_RULES",
    "RULES",
    "ConformanceAdvice",
    "Finding",
    "Report",
    "Rule",
    "check_method",
    "check_metric",
    "examine",
]

"""What plugins test with: a benchmark of a few rows, a context with fixed embeddings, one run by hand."""

from salmu_core.testing.fixed import FixedPairs, fixed_step
from salmu_core.testing.runs import run_method
from salmu_core.testing.tiny import write_tiny_benchmark

__all__ = ["FixedPairs", "fixed_step", "run_method", "write_tiny_benchmark"]

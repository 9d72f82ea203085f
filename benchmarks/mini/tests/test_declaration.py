"""`mini` is declared as a benchmark should be; the other files look at what it builds."""

from salmu_core.testing import check_benchmark

test_conformance = check_benchmark("mini")

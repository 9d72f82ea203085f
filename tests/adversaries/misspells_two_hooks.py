"""Misspells two hooks, which pluggy alone would ignore."""

from salmu_core import hookimpl


@hookimpl
def salmu_method():
    return []


@hookimpl
def salmu_metric():
    return []

"""The API version's promise: nothing that was recorded for it is ever taken away or changed."""

import json

import pytest
from public_api import broken, interface, record
from sources import method

from salmu_core.api import SalmuDeprecationWarning
from salmu_core.testing.conformance import examine


def test_the_interface_is_what_this_api_version_promised():
    promised, current = json.loads(record().read_text()), interface()
    assert broken(promised, current) == [], "only another API version may break plugins; see docs/versions.md"
    new = current.keys() - promised.keys()
    assert not new, f"added on purpose? then: uv run python tests/public_api.py ({sorted(new)[:5]})"


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, "f is gone"),
        ({"f": [["b", False], ["a", True]]}, "took a, b, now b, a"),
        ({"f": [["a", True]]}, "took a, b, now a"),
        ({"f": [["a", True], ["b", True]]}, "now needs b"),
        ({"f": [["a", True], ["b", False], ["c", True]]}, "now needs c"),
    ],
)
def test_a_broken_promise_is_seen(now, words):
    promised = {"f": [["a", True], ["b", False]]}
    (problem,) = broken(promised, now)
    assert words in problem


def test_growth_breaks_nothing():
    promised = {"f": [["a", True]]}
    assert broken(promised, {"f": [["a", False], ["c", False]], "g": None}) == []


def test_the_use_of_what_is_deprecated_is_advice(isolated_plugins):
    body = "import warnings\nfrom salmu_core.api import SalmuDeprecationWarning\n"
    body += "warnings.warn('x() goes in API 0.3; use y()', SalmuDeprecationWarning)\n"
    body += 'with ctx.edit() as weights:\n    weights["visual.proj"].mul_(2)'
    isolated_plugins.install("dated", method("dated", body))
    report = examine("method", "dated")
    assert report.sound and report["current"].verdict == "advice" and "use y()" in report["current"].sentence
    assert issubclass(SalmuDeprecationWarning, DeprecationWarning)

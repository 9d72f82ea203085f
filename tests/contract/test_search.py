"""What fields say of where to search, and what their bounds leave of it."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from salmu_core import MethodConfig, MethodSpec, Search, TrainingConfig, Weight
from salmu_core.contract.search import searches


class Config(TrainingConfig):
    """One of each kind."""

    weight: Annotated[Weight, Search(0.1, 10, log=True)] = Field(default=1.0, description="A weight.")
    rounds: Annotated[int, Search(1, 9)] = Field(default=3, gt=2, le=5, description="A whole number.")
    kind: Annotated[Literal["a", "b"], Search(choices=("a", "b", "c"))] = "a"
    share: Annotated[float | None, Search(-1, 2)] = Field(default=0.5, ge=0, lt=1, description="A share.")


def test_bounds_cut_what_is_searched_and_a_learning_rate_is_searched_by_itself():
    found = dict(searches(Config.with_defaults(weight=2.0)))
    assert [*found] == ["lr", "weight", "rounds", "kind", "share"]
    assert found["lr"] == Search(1e-6, 1e-2, log=True) and found["weight"] == Search(0.1, 10, log=True)
    assert found["rounds"] == Search(3, 5) and found["kind"].choices == ("a", "b")
    assert found["share"].low == 0 and found["share"].high == pytest.approx(1) and found["share"].high < 1
    assert not dict(searches(MethodConfig))


def test_of_two_the_last_counts():
    class Narrow(TrainingConfig):
        lr: Annotated[float, Field(gt=0), Search(1e-6, 1e-2, log=True), Search(1e-4, 1e-3)] = 1e-3

    assert dict(searches(Narrow)) == {"lr": Search(1e-4, 1e-3)}


@pytest.mark.parametrize(
    ("kind", "default", "search", "bounds", "sentence"),
    [
        (float, 0.5, Search(2, 3), {"le": 1}, "x has Search.2, 3., a range of which its own bounds leave nothing"),
        (int, 1, Search(1.2, 1.8), {}, "leave nothing to search"),
        (str, "a", Search(0, 1), {}, "needs a number as the field's default"),
        (bool, True, Search(0, 1), {}, "needs a number as the field's default"),
        (float | None, None, Search(0, 1), {}, "needs a number as the field's default"),
        (Literal["a"], "a", Search(choices=("a", "b")), {}, "x allows 1 of what"),
    ],
)
def test_a_range_without_a_value_is_an_error_of_the_declaration(kind, default, search, bounds, sentence):
    namespace = {"__annotations__": {"x": Annotated[kind, search]}, "x": Field(default=default, **bounds)}
    config = type("Config", (MethodConfig,), {**namespace, "__module__": __name__})
    with pytest.raises(ValueError, match=sentence):
        MethodSpec(name="m", summary="A test.", paper="https://example.org", config=config, unlearn=lambda ctx: None)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"choices": (1,)},
        {"low": 0, "high": 1, "choices": (1, 2)},
        {"low": 0, "high": float("inf")},
    ],
)
def test_what_is_no_search_is_refused(given):
    with pytest.raises(ValueError, match="Search"):
        Search(**given)

import pytest
from pydantic import Field, ValidationError

from salmu_core import MethodConfig, MethodSpec, MetricSpec, TrainingConfig

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


def nothing(*_):
    return None


def test_a_spec_is_frozen_and_closed():
    spec = MethodSpec(**FACTS, loss=nothing)
    with pytest.raises(ValidationError):
        spec.name = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        MethodSpec(**FACTS, loss=nothing, colour="red")


@pytest.mark.parametrize("given", [{}, {"loss": nothing, "unlearn": nothing}])
def test_exactly_one_of_loss_and_unlearn(given):
    with pytest.raises(ValidationError, match="exactly one"):
        MethodSpec(**FACTS, **given)


def test_a_loss_needs_a_training_config():
    with pytest.raises(ValidationError, match="TrainingConfig"):
        MethodSpec(**FACTS, loss=nothing, config=MethodConfig)


def test_a_config_must_be_complete_and_inside_its_bounds():
    class Incomplete(MethodConfig):
        size: int

    class Wrong(MethodConfig):
        size: int = Field(0, ge=1)

    with pytest.raises(ValidationError, match="no default for: size"):
        MethodSpec(**FACTS, unlearn=nothing, config=Incomplete)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        MethodSpec(**FACTS, unlearn=nothing, config=Wrong)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_learning_rates_are_bounded(value):
    with pytest.raises(ValidationError):
        TrainingConfig(lr=value)


@pytest.mark.parametrize("name", ["Upper", "a b", "a/b", "../a", "", "-a", "a_b"])
def test_names_are_safe_in_paths(name):
    with pytest.raises(ValidationError):
        MethodSpec(**{**FACTS, "name": name}, loss=nothing)


def test_a_metric_names_its_columns():
    facts = {"summary": "A test.", "pillar": "efficacy", "target": "clean", "reads": ("forget",)}
    facts |= {"compute": nothing, "paper": "https://example.org"}
    assert MetricSpec(name="One", **facts).columns == ("One",)
    assert MetricSpec(name="Two", figures=("A", "B@1"), **facts).columns == ("Two_A", "Two_B@1")
    with pytest.raises(ValidationError):
        MetricSpec(name="Three", **{**facts, "reads": ("secrets",)})

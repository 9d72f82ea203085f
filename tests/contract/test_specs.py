import pytest
from pydantic import Field, ValidationError

from salmu_core import MethodConfig, MethodSpec, MetricSpec, TrainingConfig
from salmu_core.contract.specs import METRIC_ROLES

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


def test_only_a_method_that_gives_a_loss_has_the_optimizers_settings_unless_it_says_so():
    assert MethodSpec(**FACTS, loss=nothing).config is TrainingConfig
    assert MethodSpec(**FACTS, unlearn=nothing).config is MethodConfig
    assert MethodSpec(**FACTS, unlearn=nothing, config=TrainingConfig).config is TrainingConfig


def test_other_defaults_change_nothing_else():
    class Own(TrainingConfig):
        """Settings of a method."""

        margin: float = Field(default=0.1, ge=0, description="A margin.")

    other = Own.with_defaults(lr=0.5, margin=0.2)
    assert issubclass(other, Own) and (other.__name__, other.__doc__) == (Own.__name__, Own.__doc__)
    assert other().model_dump() == {**Own().model_dump(), "lr": 0.5, "margin": 0.2}
    assert list(other.model_fields) == list(Own.model_fields) and Own().margin == 0.1
    for name, field in Own.model_fields.items():
        assert other.model_fields[name].description == field.description
    for wrong in ({"lr": 0}, {"margin": -1}, {"colour": 1}):
        with pytest.raises(ValidationError):
            other(**wrong)
    with pytest.raises(ValidationError, match="frozen"):
        other().lr = 1
    with pytest.raises(ValidationError, match="greater than 0"):
        MethodSpec(**FACTS, loss=nothing, config=Own.with_defaults(lr=-1.0))
    with pytest.raises(ValueError, match=r"Own has no field 'rate'; it has .*lr"):
        Own.with_defaults(rate=1)
    assert other.model_validate_json(other().model_dump_json()) == other()


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"eps": 0.0},
        {"schedule": "linear"},
        {"max_logit_scale": 1.0},
        {"warmup": 1.5},
        {"weight_decay": float("inf")},
    ],
)
def test_settings_of_the_optimizer_are_bounded(wrong):
    with pytest.raises(ValidationError):
        TrainingConfig(**wrong)


def test_the_optimizers_defaults_are_those_of_clip():
    """Radford et al. 2021, table 19, for the vision transformers, and section 2.5."""
    config = TrainingConfig()
    assert (config.beta1, config.beta2, config.eps, config.max_logit_scale) == (0.9, 0.98, 1e-6, 100)
    assert config.schedule == "cosine"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"role": "leak"}, "needs `bounds` that begin at 0"),
        ({"role": "leak", "bounds": (-1, 1)}, "needs `bounds` that begin at 0"),
        ({"role": "leak", "bounds": (0, 1), "reads": ("zeroshot", "forget")}, "`reads` begins with 'zeroshot'"),
        ({"role": "leak", "bounds": (0, 1), "target": "compromised"}, "must have target='clean'"),
        ({"role": "holdout", "reads": ("holdout_identity",)}, "must have target='compromised'"),
        ({"role": "knowledge", "bounds": (0, 1)}, "`reads` begins with 'forget'"),
        ({"figures": ("MRR", "MRR")}, "`figures` names one twice"),
        ({"reads": ("forget", "forget")}, "`reads` names one twice"),
        ({"role": "holdout"}, "is of holdout_identity or holdout_association"),
        ({"role": "knowledge", "reads": ("zeroshot",), "target": "compromised"}, "needs `bounds`"),
        ({"role": "naming", "reads": ("retain_joint",)}, "is of forget or forget_identity"),
        ({"role": "leakage"}, "Input should be 'leak'"),
        ({"bounds": (1, 0)}, "the least and the most"),
        ({"bounds": (0, float("inf"))}, "the least and the most"),
        ({"bounds": (float("nan"), 1)}, "the least and the most"),
        ({"pillar": "robustness"}, "Input should be 'efficacy' or 'utility'"),
    ],
)
def test_a_role_is_of_its_splits_and_has_their_target(fields, said):
    facts = {"summary": "A test.", "pillar": "efficacy", "target": "clean", "reads": ("forget",)}
    facts |= {"name": "One", "compute": nothing, "paper": "https://example.org"}
    with pytest.raises(ValidationError, match=said):
        MetricSpec(**{**facts, **fields})


def test_every_role_says_what_it_means_and_is_some_metrics():
    facts = {"summary": "A test.", "pillar": "efficacy", "compute": nothing, "paper": "https://example.org"}
    for role, asked in METRIC_ROLES.items():
        split = asked.splits[0] if asked.splits else "zeroshot" if role == "knowledge" else "forget"
        target = "clean" if split.startswith("forget") else "compromised"
        spec = MetricSpec(name="One", role=role, reads=(split,), target=target, bounds=(0, 1), **facts)
        assert spec.role == role and asked.meaning.endswith(".")

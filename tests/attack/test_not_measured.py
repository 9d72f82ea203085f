"""What an attack has nothing for is no fault of anybody's: it says so in a sentence, and the others go on."""

import json

import pytest
from attack_ground import attack, nudge, unattacked

from salmu_core import NotMeasuredError, Query, Reading

WHY = "no row is written in runes"


def lacking(*_):
    raise NotMeasuredError(WHY)


def read(ctx, **more):
    return Reading(ctx.features().image, label="own", **more)


@pytest.mark.parametrize(
    "spec",
    [
        attack(lacking),
        attack(lacking, "query"),
        attack(lacking, "readout", given=("leaked",)),
        attack(nudge, given=("leaked",), leaked=lacking),
        attack(lambda ctx: [Query(pixels=lacking, label="a"), Query(images=lacking, label="b")], "query"),
        attack(lambda ctx: read(ctx, texts=lacking), "readout", given=("leaked",)),
    ],
)
def test_an_attack_that_has_nothing_to_go_by_is_not_measured(ground, spec):
    outcome = ground(spec)
    assert (outcome.status, outcome.reason, outcome.traceback) == ("not-measured", WHY, None)
    assert outcome.values == {} and outcome.details == {} and len(outcome.rows) == 0


def test_a_reason_is_never_empty(ground):
    def silent(ctx):
        raise NotMeasuredError

    assert ground(attack(silent, "query")).reason == "this benchmark has nothing for it"


def queries(ctx):
    ctx.not_measured("runes", WHY)
    return [Query(pixels=lacking, label="carved"), Query(captions=ctx.forget.captions, label="own")]


def readings(ctx):
    ctx.not_measured("runes", WHY)
    return [read(ctx), Reading(ctx.features().image, lacking, label="carved")]


def stages(ctx):
    ctx.not_measured("runes", WHY)
    ctx.not_measured("carved", WHY)
    nudge(ctx)
    yield "own"


@pytest.mark.parametrize(
    ("kind", "act", "given"), [("query", queries, ()), ("readout", readings, ("leaked",)), ("model", stages, ())]
)
def test_what_one_of_several_lacks_stands_in_the_record_and_the_others_go_on(ground, kind, act, given):
    outcome = ground(attack(act, kind, given=given))
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    assert dict(outcome.not_measured) == {"runes": WHY, "carved": WHY}
    assert outcome.details["worst"] == "own" and set(outcome.rows["query"].to_pylist()) == {"own"}
    if kind == "query":
        assert outcome.values == unattacked(ground, "exchanged").values
    assert json.dumps(outcome.details, allow_nan=False)


def test_what_is_altered_is_said_before_what_is_not_measured(ground):
    def spoil(ctx):
        ctx.reference.logit_scale.data.add_(1)
        raise NotMeasuredError(WHY)

    assert ground(attack(spoil)).status == "altered"

"""A context made by hand gives what it was given, and says of the rest that it was not."""

import numpy as np
import pytest

from salmu_core import MethodContext, TrainingConfig
from salmu_core.testing import FixedPairs, fixed_step


def test_what_was_not_given_is_said_in_a_sentence():
    rows = np.eye(3)
    ctx, step = fixed_step(TrainingConfig(lr=0.5), FixedPairs(rows, rows, rows, rows))
    assert isinstance(ctx, MethodContext) and ctx.config.lr == 0.5
    assert ctx.features(step.forget).similarity.detach().numpy() == pytest.approx(rows)
    assert ctx.reference_features(step.forget).similarity.numpy() == pytest.approx(rows)
    given = {"config", "model", "reference", "forget", "features", "reference_features"}
    for name in sorted(MethodContext.__abstractmethods__ - given):
        with pytest.raises(AssertionError, match=f"ctx.{name}, which fixed_step does not give"):
            getattr(ctx, name)
    with pytest.raises(AssertionError, match="retain pairs"):
        step.retain  # noqa: B018

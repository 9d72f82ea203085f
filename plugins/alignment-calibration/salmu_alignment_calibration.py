"""Alignment Calibration: forget pairs stay as negatives of the retain set and lose their own alignment."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import Features, LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import contrastive_rows


class Config(TrainingConfig):
    """Settings of Alignment Calibration."""

    lr: LearningRate = 2.35e-4
    variant: Literal["clip", "code"] = Field(
        "clip",
        description="Whose rows the contrastive loss is of: `clip`, of retain pairs, forget pairs being negatives "
        "only; `code`, of forget pairs as well, as in the public code for one tower.",
    )
    beta: Weight = Field(default=0.114, description="Weight of the forget pairs' mean cosine (positive calibration).")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``(sum_R l + a sum_F l) / (n_R + a n_F) + b n_F / n mean_F cos``, l a row's loss in the batch of R and F.

    a is 0 in the variant `clip` and 1 in `code`; n = n_R + n_F.
    """
    forget, retain = ctx.features(step.forget, step.retain)
    n, kept = len(step.forget) + len(step.retain), len(step.retain)
    both = Features(torch.cat([retain.image, forget.image]), torch.cat([retain.text, forget.text]))
    rows = contrastive_rows(both, ctx.model.logit_scale.exp())
    return {
        "negative": rows[: n if ctx.config.variant == "code" else kept].mean(),
        "positive": ctx.config.beta * (n - kept) / n * forget.pair_similarity.mean(),
    }


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="alignment-calibration",
            summary="Keep forget pairs as negatives of the retain set and lower their own cosine.",
            paper="https://arxiv.org/abs/2406.03603",
            code="https://github.com/EhanW/Alignment-Calibration/blob/8b95a75/algs.py",
            departures="Public code is for one tower (SimCLR, MoCo); its form for CLIP is not in it, so `clip` is our "
            "reading: CLIP's loss over a batch of both sets, of the retain rows alone. `code` has the forget rows too, "
            "at the code's weight of 1.",
            config=Config,
            chosen_on="mini",
            loss=loss,
        )
    ]

"""Task negation: fine-tune on what is to be forgotten, and go the opposite way.

With theta_0 the original's weights, and theta_f those that fine-tuning on the forget set leads to::

    theta = theta_0 - a (theta_f - theta_0)

where a is the scale that forgets most of those that leave a control metric at 95% of what it was.
"""

from __future__ import annotations

from salmu_core import MethodContext, MethodSpec, NegationConfig, hookimpl, negate, task_vector
from salmu_core.losses import forget_loss


def unlearn(ctx: MethodContext[NegationConfig]) -> None:
    """Fine-tune until the budget ends, then search the scale by `probe`."""
    negate(ctx, task_vector(ctx, forget_loss))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="task-negation",
            summary="Subtract what fine-tuning on the forget set adds to the weights.",
            paper="https://arxiv.org/abs/2212.04089",
            code="https://github.com/mlfoundations/task_vectors/blob/826a64c/src/task_vectors.py",
            departures="Both towers are fine-tuned by CLIP's contrastive loss; the paper fine-tunes the image tower to "
            "classify, with frozen class names. The control is the rank of retain captions that no batch holds, "
            "estimated by `probe`, for accuracy on ImageNet. Where no scale keeps it, the smallest is taken, not 0.",
            tags=("weights",),
            config=NegationConfig.with_defaults(lr=4.57e-4, max_scale=2.55),
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]

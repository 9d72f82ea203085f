"""IdZSC and GenKnow: which class a picture is nearest to."""

from __future__ import annotations

import numpy as np

from salmu_core import MetricContext, MetricResult, PerRow
from salmu_protocol_metrics.arrays import top1, vectors

PROMPT = "a photo of {name}"


def id_zsc(ctx: MetricContext) -> MetricResult:
    """Share of images whose person's name is the nearest of all names."""
    names = [ctx.person(str(i))["name"] for i in ctx.identity_ids("forget_identity")]
    classes = sorted(set(names))
    number = {name: i for i, name in enumerate(classes)}
    prompts = ctx.texts([PROMPT.replace("{name}", name) for name in classes])
    labels = np.array([number[name] for name in names])
    correct = top1(ctx.images("forget_identity"), vectors(prompts), labels)
    return MetricResult(
        per_row=PerRow("forget_identity", correct),
        chance=1 / len(classes),
        details={"classes": len(classes), "prompt": PROMPT},
    )


def gen_know(ctx: MetricContext) -> MetricResult:
    """Share of images whose class is the nearest of all classes, each averaged over the templates."""
    zeroshot = ctx.zeroshot
    names, templates = zeroshot.class_names, zeroshot.templates
    prompts = vectors(ctx.texts([t.replace("{c}", name) for name in names for t in templates]))
    by_template = prompts.reshape(len(names), len(templates), -1)
    # Added template by template: classes with equal prompts get equal bits.
    total = np.zeros((len(names), prompts.shape[1]))
    for t in range(len(templates)):
        total += by_template[:, t]
    classes = total / np.linalg.norm(total, axis=1, keepdims=True)
    if not np.isfinite(classes).all():
        raise ValueError("a class's prompts cancel out: it has no direction")
    correct = top1(ctx.images("zeroshot"), classes, zeroshot.labels)
    return MetricResult(
        per_row=PerRow("zeroshot", correct),
        chance=1 / len(names),
        details={"classes": len(names), "templates": len(templates)},
    )

"""How many runs a card takes at a time: as many as its memory holds, while one alone leaves it waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from salmu_core.run.card import Card

#: Runs at a time on one card: two made 1.92 times as many pairs a second as one at 16 + 16 pairs of a ViT-B/16, and
#: more have not been measured. A step is small, and leaves the card waiting, up to the work of 64 + 64 of its pairs,
#: where an H100 waited for 42% of the time. (docs/data/device)
MOST, SMALL = 2, 128 * 150_000_000
#: Bytes that a process takes before it computes: CUDA's context, its libraries' workspaces.
CONTEXT = 3 * 2**28
#: Copies of the weights: the original, the reference, the model, its gradients, and AdamW's two moments.
COPIES = 6
#: Bytes of activations for each token, layer and unit of width: 34 in half precision (Korthikanti et al. 2022,
#: section 4.1, without attention's maps, which are not kept), twice as many in float32.
KEPT = 34
#: Rows whose embeddings are made at once without gradients, in float32, and what a layer's widest moment holds of each.
CHUNK, WIDEST = 256, 12
#: Of free memory, what runs may plan with: allocators leave holes, and others use the card too.
SHARE = 0.8


def memory_of_run(config: Mapping[str, Any], weights: int, pairs: int, half: bool) -> int | None:
    """Bytes that a run takes at most, about.

    Args:
        config: An open_clip config.
        weights: How many the model has.
        pairs: Of both sets together, in a step.
        half: Whether steps are computed in bf16 or fp16.

    Returns:
        None for a model whose layers the config doesn't say.
    """
    try:
        model = config["model_cfg"]
        image, text = model["vision_cfg"], model["text_cfg"]
        side = image["image_size"]
        height, width = (side, side) if isinstance(side, int) else side
        tokens = (height // image["patch_size"]) * (width // image["patch_size"]) + 1
        towers = [
            (tokens, image["width"], image["layers"]),
            (text.get("context_length", 77), text["width"], text["layers"]),
        ]
        kept = int(sum(n * wide * layers for n, wide, layers in towers)) * KEPT * (1 if half else 2)
        chunk = int(max(n * wide for n, wide, _ in towers)) * CHUNK * 4 * WIDEST
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # of a ResNet, or of another library
        return None
    return CONTEXT + COPIES * 4 * weights + pairs * kept + chunk


def runs_at_a_time(card: Card | None, memory: int | None, weights: int, pairs: int, cores: int) -> int:
    """How many runs to make at a time on one card.

    Args:
        card: The card; None if nothing is known of it.
        memory: Bytes that a run takes; None if nobody can say.
        weights: How many the model has.
        pairs: Of both sets together, in a step.
        cores: There are; each process keeps one busy.
    """
    if card is None or memory is None or weights * pairs > SMALL:
        return 1
    return max(1, min(MOST, cores, int(SHARE * card.free) // memory))

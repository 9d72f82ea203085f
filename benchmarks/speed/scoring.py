"""What scoring costs: all metrics of the protocol against one encoding for each, and RetFail against a matrix product.

One process, one thread, in turn. Against the scorer, which encodes what all ten metrics read once, stand ten that each
encode for themselves: all of the benchmark, as a script for each metric would that begins with embedding the data; or
only what the metric reads. Pictures are decoded and captions tokenised before. RetFail looks for the captions of 30,468
random embeddings of 512 numbers among 2,001; its arithmetic is that of float64, and the product in torch's float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

from figures import Figure, in_turn, ratio
from sides import Asked

#: Rows of the published forget set, captions of a gallery, numbers of an embedding of ViT-B/16.
ROWS, GALLERY, WIDTH = 30_468, 2_000, 512
PLUGIN = "salmu-protocol-metrics"


def measure(asked: Asked) -> Iterator[Figure]:
    """Both."""
    import torch

    torch.set_num_threads(1)
    yield from encodings(asked)
    yield from search(asked)


def encodings(asked: Asked) -> Iterator[Figure]:
    """Ten metrics through the scorer, and each by itself."""
    import torch

    from salmu_core.benchmark.folder import open_benchmark
    from salmu_core.clip.load import load_clip
    from salmu_core.contract.layout import BASE_SPLITS
    from salmu_core.plugins.zoo import discover
    from salmu_core.score.evaluate import compute_one
    from salmu_core.score.scorer import Scorer

    zoo = discover()
    benchmark = open_benchmark(asked.benchmark, zoo, lambda *_: None)
    ten = [declared for declared in zoo.metrics.values() if declared.distribution == PLUGIN]
    assert len(ten) == 10
    scorer = Scorer(benchmark, ten, torch.device("cpu"))
    clip = load_clip(benchmark.model("compromised"))

    def together() -> None:
        embedder = scorer.embedder(clip)
        for declared in ten:
            compute_one(declared, embedder)

    def apart(everything: bool) -> None:
        for declared in ten:
            embedder = scorer.embedder(clip)
            if everything:
                for split in (*BASE_SPLITS, "zeroshot"):
                    embedder.images(split)
                embedder.texts([caption for split in BASE_SPLITS for caption in scorer.data.base[split].captions])
            compute_one(declared, embedder)

    sides = {
        "together": seconds(together),
        "everything": seconds(partial(apart, True)),
        "read": seconds(partial(apart, False)),
    }
    costs = in_turn(sides, 1 if asked.quick else 3)
    what = "one encoding for each metric"
    yield ratio(f"{what}, of all the data", "ten metrics at once", costs, ("everything", "together"), at_least=4)
    yield ratio(f"{what}, of what it reads", "ten metrics at once", costs, ("read", "together"))


def search(asked: Asked) -> Iterator[Figure]:
    """RetFail's search, and the product of its matrices."""
    import numpy as np
    import torch

    from salmu_core.plugins.zoo import discover

    # As everything of a plugin's it is found by what declares it: nothing imports a plugin.
    search = import_module(f"{discover().metrics['RetFail'].module}.ranking").search

    rows = 500 if asked.quick else ROWS
    draw = torch.Generator().manual_seed(0)

    def embeddings(n: int) -> torch.Tensor:
        # As CLIP's, they have a direction in common.
        return torch.nn.functional.normalize(torch.randn(n, WIDTH, generator=draw) + 0.7, dim=1)

    images, own = embeddings(rows), embeddings(rows)
    half = min(GALLERY // 2, rows)
    gallery = torch.cat([own[:half], embeddings(GALLERY - half)])
    copies = np.tile(np.arange(rows) < half, (2, 1)).astype(np.int64)
    sides = {
        "search": seconds(lambda: search(images, own, gallery, copies, half)),
        "product": seconds(lambda: images @ gallery.T),
        "float64": seconds(lambda: images.double() @ gallery.double().T),
    }
    costs = in_turn(sides, 1 if asked.quick else 7)
    what = f"RetFail, {rows:,} x {GALLERY + 1:,}"
    yield ratio(what, "the matrix product in float32", costs, ("search", "product"), at_most=1.3)
    yield ratio(what, "the matrix product in float64", costs, ("search", "float64"))


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """The processor seconds that some work takes."""

    def timed() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return timed

"""What the loop of all methods costs over the same loop in bare PyTorch, with the same tricks.

Both train a copy of Compromised on the same batches of the same benchmark, in turn, in one process with one thread. The
bare loop trains only the rows of the token embedding that its captions look up, cuts captions to the longest of a step,
and encodes both batches at once, as `fit` does. It gets its batches ready-made, so drawing, decoding and counting are
all part of the overhead.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from functools import partial

from figures import Figure, in_turn, ratio
from sides import Asked

#: Pairs of each set in a step, and steps: what methods take by default, and what a laptop still has memory for.
SIZES = {16: 80, 128: 15}
LR = 1e-4
#: Relative difference of the two losses after the last step.
TOLERANCE = 1e-3
#: Captions from which on they are encoded in groups of about the same length, and the number of groups.
MANY, GROUPS = 64, 4


def measure(asked: Asked) -> Iterator[Figure]:
    """The overhead at each size of a batch."""
    import torch
    from accelerate import Accelerator

    from salmu_core.benchmark.folder import open_benchmark
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.session import TrainingSession

    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    session = TrainingSession.open(open_benchmark(asked.benchmark, discover(), lambda *_: None), accelerator)
    for size, steps in {8: 3}.items() if asked.quick else SIZES.items():
        ours, batches = Fit(session, accelerator, size, steps), ready_made(session, accelerator, size, steps)
        losses: dict[str, float] = {}
        sides = {"fit": partial(ours, losses), "bare": partial(bare, session, batches, losses)}
        costs = in_turn(sides, 1 if asked.quick else 9)
        if not math.isclose(losses["fit"], losses["bare"], rel_tol=TOLERANCE):
            raise RuntimeError(f"the two loops do not compute the same: {losses}")
        yield ratio(f"`fit`, {size} + {size} pairs", "the bare loop", costs, ("fit", "bare"), more=True, at_most=2)


class Fit:
    """`fit` on a fresh copy of Compromised."""

    def __init__(self, session, accelerator, size, steps):
        self._session, self._accelerator, self._size, self._steps = session, accelerator, size, steps

    def context(self):
        """A method's context, and its ledger."""
        from salmu_core.contract.config import TrainingConfig
        from salmu_core.run.context import RunContext
        from salmu_core.run.meter import Meter
        from salmu_core.run.session import frozen_copy

        meter = Meter(1000, len(self._session.pools["forget"]))
        ctx = RunContext(
            TrainingConfig(batch_size=self._size, lr=LR, warmup=0.0),
            model=copy.deepcopy(self._session.clip.model),
            reference=frozen_copy(self._session.clip.model),
            session=self._session,
            seed=0,
            meter=meter,
            accelerator=self._accelerator,
        )
        return ctx, meter

    def __call__(self, losses):
        ctx, meter = self.context()
        start = time.process_time()
        ctx.fit(loss, steps=self._steps)
        cost = time.process_time() - start
        losses["fit"] = meter.scalars["loss"][-1][1]
        return cost


def loss(ctx, step):
    """The contrastive loss of both sets."""
    from salmu_core.losses import contrastive

    return sum(contrastive(pairs, ctx.model.logit_scale.exp()) for pairs in ctx.features(step.forget, step.retain))


def ready_made(session, accelerator, size, steps):
    """The batches that `fit` draws, as tensors: images and token ids of both sets, one after the other."""
    import torch

    drawn = []

    def watch(ctx, step):
        pairs = step.forget, step.retain
        drawn.append((torch.cat([batch.image for batch in pairs]), torch.cat([batch.text for batch in pairs])))
        return ctx.model.logit_scale.sum()

    Fit(session, accelerator, size, steps).context()[0].fit(watch, steps=steps)
    return drawn


def bare(session, batches, losses):
    """Processor seconds of the loop as one would write it."""
    import torch

    model = copy.deepcopy(session.clip.model)
    used = torch.unique(torch.cat([text.flatten() for _, text in batches]))
    places = torch.zeros(len(model.token_embedding.weight), dtype=torch.int64)
    places[used] = torch.arange(len(used))
    start = time.process_time()
    rows = torch.nn.Parameter(model.token_embedding.weight.detach()[used])
    trained = [p for name, p in model.named_parameters() if name != "token_embedding.weight"] + [rows]
    optimizer = torch.optim.AdamW(trained, lr=LR, betas=(0.9, 0.98), eps=1e-6, weight_decay=0, fused=True)
    model.train()
    for step, (image, text) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * step / len(batches)))
        images = model.encode_image(image, normalize=True)
        order = text.argmax(dim=-1).argsort(stable=True)
        groups = order.tensor_split(GROUPS if len(text) >= MANY else 1)
        texts = torch.cat([embed(model, rows, places, text[group]) for group in groups])[order.argsort()]
        value = 0.0
        for a, b in zip(images.chunk(2), texts.chunk(2), strict=True):
            logits, target = model.logit_scale.exp() * a @ b.T, torch.arange(len(a))
            value = value + torch.nn.functional.cross_entropy(logits, target) / 2
            value = value + torch.nn.functional.cross_entropy(logits.T, target) / 2
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses["bare"] = value.item()
    return time.process_time() - start


def embed(model, rows, places, text):
    """Embeddings of captions, of which ``rows`` has the tokens' rows at ``places``; cut to the longest."""
    import torch

    last = text.argmax(dim=-1)
    length = int(last.max()) + 1
    x = torch.nn.functional.embedding(places[text[:, :length]], rows) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return torch.nn.functional.normalize(x[torch.arange(len(x)), last] @ model.text_projection, dim=-1)

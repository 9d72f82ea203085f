"""The ten metrics of the SALMUBench protocol: what each is. How it is computed is in the modules beside this one."""

from __future__ import annotations

from functools import partial

from salmu_core import MetricSpec, hookimpl
from salmu_protocol_metrics.core_association import core_assoc
from salmu_protocol_metrics.probe import acs
from salmu_protocol_metrics.retrieval import ret_fail
from salmu_protocol_metrics.similarity import mean_cosine
from salmu_protocol_metrics.zeroshot import gen_know, id_zsc

PAPER = "https://arxiv.org/abs/2603.26316"

RET_FAIL = MetricSpec(
    name="RetFail",
    summary="Rank of a forget image's caption among 2,001: mean reciprocal rank and recall at 1.",
    pillar="efficacy",
    target="clean",
    role="leak",
    reads=("forget", "retain_disjoint"),
    figures=("MRR", "R@1"),
    bounds=(0, 1),
    primary=True,
    compute=ret_fail,
    paper=PAPER,
    departures=(
        "Where the benchmark sets draw = 'rows', as salmubench does, the 1,000 captions of each pool are those of "
        "rows drawn as the authors' evaluator draws them: RandomState(42), rows in the order of the shards, forget "
        "first; a caption of several rows may stand there more than once. Ours, elsewhere: they are drawn from "
        "each pool's distinct captions in code-point order, with the raw 64-bit stream of PCG64(42), forget first; "
        "a retain caption that is also a forget caption is in the forget pool only. Ours, everywhere: a pool of "
        "fewer than 1,000 is used whole. A row's own caption, if drawn, is not an other one (that row then ranks "
        "among 2,000). Rank = 1 + others strictly above + half the others exactly equal, so a tie for the first "
        "place is no hit of R@1. Captions with equal embeddings are exactly equal."
    ),
)
ASSOC_STR = MetricSpec(
    name="AssocStr",
    summary="Mean cosine of forget pairs: how strong the associations to be forgotten still are.",
    pillar="efficacy",
    target="clean",
    role="association",
    reads=("forget",),
    compute=partial(mean_cosine, split="forget"),
    paper=PAPER,
)
ACS = MetricSpec(
    name="ACS",
    summary="Held-out accuracy of a logistic probe telling forget pairs from pairs with shuffled captions.",
    pillar="efficacy",
    target="clean",
    reads=("forget",),
    bounds=(0, 1),
    compute=acs,
    paper=PAPER,
    departures=(
        "Ours: the probe's one feature is the pair's cosine, standardised on the training half; L2 with C "
        "= 1. The shuffle moves every caption to a row with another text and keeps how often each occurs. "
        "Half of the rows are held out; a row's true and shuffled pair fall on the same side, which makes "
        "both sides half true, half shuffled: the split is stratified by construction. Shuffle and split "
        "come from the raw stream of PCG64(42), never from a global random state. A held-out row's value "
        "is the share of its two pairs that the probe gets right."
    ),
)
ID_ZSC = MetricSpec(
    name="IdZSC",
    summary="Zero-shot accuracy of naming the person among all wholly forgotten people.",
    pillar="efficacy",
    target="clean",
    role="naming",
    reads=("forget_identity",),
    bounds=(0, 1),
    compute=id_zsc,
    paper=PAPER,
    departures=(
        "Ours: the prompt, 'a photo of {name}'; people of one name are one class; among k classes exactly "
        "equal at the top the right one counts 1/k."
    ),
)
CORE_ASSOC = MetricSpec(
    name="CoreAssoc",
    summary="Mean cosine of forget images with name and value alone, in the better of both orders.",
    pillar="efficacy",
    target="clean",
    reads=("forget",),
    compute=core_assoc,
    paper=PAPER,
    departures=(
        "Ours: the value is the person's entry for the row's data_field (of a list, the first); else the "
        "caption's own 'value'. Where the field is the name itself, both texts are '{name} {name}'."
    ),
)
GEN_KNOW = MetricSpec(
    name="GenKnow",
    summary="Zero-shot top-1 accuracy: general knowledge.",
    pillar="utility",
    target="compromised",
    role="knowledge",
    reads=("zeroshot",),
    bounds=(0, 1),
    primary=True,
    compute=gen_know,
    paper=PAPER,
    departures=(
        "ImageNet-1k is the paper's set; here it is the benchmark's own. A class is the normalised mean of "
        "its normalised prompts (as in CLIP). Ours: among k classes exactly equal at the top the right one "
        "counts 1/k."
    ),
)
INTER_ID_SIM = MetricSpec(
    name="InterIdSim",
    summary="Mean cosine of pairs of people wholly outside the forget set.",
    pillar="utility",
    target="compromised",
    role="association",
    reads=("holdout_identity",),
    compute=partial(mean_cosine, split="holdout_identity"),
    paper=PAPER,
)
INTRA_ID_SIM = MetricSpec(
    name="IntraIdSim",
    summary="Mean cosine of the associations to be kept of people whose other associations are forgotten.",
    pillar="utility",
    target="compromised",
    role="association",
    reads=("holdout_association",),
    compute=partial(mean_cosine, split="holdout_association"),
    paper=PAPER,
)
VIS_ID_INT = MetricSpec(
    name="VisIdInt",
    summary="Mean cosine of forgotten people's images with captions that tell nothing private.",
    pillar="utility",
    target="compromised",
    role="association",
    reads=("retain_joint",),
    compute=partial(mean_cosine, split="retain_joint"),
    paper=PAPER,
)
FRAG_SIM = MetricSpec(
    name="FragSim",
    summary="Mean cosine of the retain pairs that unlearning harms first.",
    pillar="utility",
    target="compromised",
    role="association",
    reads=("fragile_set",),
    compute=partial(mean_cosine, split="fragile_set"),
    paper=PAPER,
)


@hookimpl
def salmu_metrics() -> list[MetricSpec]:
    return [
        RET_FAIL,
        ASSOC_STR,
        ACS,
        ID_ZSC,
        CORE_ASSOC,
        GEN_KNOW,
        INTER_ID_SIM,
        INTRA_ID_SIM,
        VIS_ID_INT,
        FRAG_SIM,
    ]

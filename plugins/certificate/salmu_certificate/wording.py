"""What a certificate says in plain words: what each metric asks, what was not tried, what it all shows and does not."""

from __future__ import annotations

from collections.abc import Sequence

from salmu_certificate.judge import Forgotten, Kept
from salmu_certificate.records import Ends, Pair, Stand, Summary, Trial, Word
from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, OVER_GENERALISED, RECOVERABLE, Verdict
from salmu_core.judge.protocol import MIN_HOLDOUT_RETENTION
from salmu_core.judge.targets import Column

RANK, COSINE = "mean reciprocal rank", "mean cosine"

#: Part -> what it is.
PARTS = {
    "forget": "what was to be forgotten",
    "keep": "what was to be kept",
    "ordinary": "captions that tell nothing private",
}
PURPOSES = {
    "forget": "to be forgotten",
    "holdout_association": "to be kept, while others of the same person were to be forgotten",
    "holdout_identity": "to be kept, of a person of whom no method was shown anything",
}
GROUPS = {
    "forgotten": "every association was to be forgotten",
    "half-forgotten": "some associations were to be forgotten, the others kept",
    "held-out": "nothing was to be forgotten, and no method was shown this person",
}

#: The same, where there is little room.
SHORT = {"forget": "To be forgotten", "keep": "To be kept", "ordinary": "Telling nothing private"}

#: Role and split -> what metrics of it ask of the person's rows, for whoever has never heard of them.
_ASKS = {
    ("association", "forget"): "How near are photograph and caption?",
    ("association", "holdout_association"): "How near are photograph and the caption that was to be kept?",
    ("association", "holdout_identity"): "How near are photograph and caption of somebody not to be forgotten?",
    ("association", "retain_joint"): "How near are a photograph and a caption that tells nothing private?",
    ("naming", "forget_identity"): "Is the person named right, among all who were wholly to be forgotten?",
}
#: Split -> the same of metrics that look for its captions.
_SEARCHES = {
    "forget": "At which place does the photograph's caption come among others?",
    "holdout_association": "At which place does the caption come that was to be kept?",
    "holdout_identity": "At which place does the caption of somebody not to be forgotten come?",
}

#: What SALMU does not try, so that nobody takes a certificate for more than it is.
NOT_TRIED = (
    "Relearning: training the model a little further, on this person, on others or on anything else, which is known "
    "to bring back what unlearned models had lost.",
    "Other words: captions that are not in the benchmark, paraphrases, prompts found by optimisation.",
    "Other photographs: any that are not in the benchmark, and pictures altered to provoke an answer.",
    "From text to image: looking for the person's photographs by a name or a number.",
    "Other languages and scripts.",
    "Lists made for one person: the true value among many that nearly equal it, or put together piece by piece.",
    "Looking inside: weights, layers between, and the difference between the model before and after.",
    "Membership: whether it can be told that this person was in the training data, or was deleted from it.",
    "Changing the model: quantising, pruning, averaging it with another or with the one before.",
    "What is built on the model: generators, captioners, search indexes, embeddings stored earlier.",
)

DOES_NOT_SHOW = (
    "It is no legal proof, and no opinion on whether a duty to erase was met.",
    "It does not show that nothing can be got out of the model: what was not tried may succeed.",
    "A place among these captions is a place among these captions: with others it would be another.",
    "SALMU's benchmarks show invented people. What holds for them need not hold for others, or for another model.",
    "Backups, logs, copies of the model, stored embeddings and the training data are not looked at.",
    "It is about one run, with one seed and one pair of reference models; another run may leave more, or less.",
    "It is not signed. Whoever relies on it makes run and certificate again and compares the hashes.",
)


def asks(column: Column) -> str:
    """What a figure asks of the person's rows: in its metric's own words, where its role has none."""
    known = _SEARCHES.get(column.split) if column.ranked else _ASKS.get((column.role, column.split))
    return known or column.summary


def shows(rows: int, attributes: int) -> tuple[str, ...]:
    """What a certificate shows.

    Args:
        rows: Number of the person's associations.
        attributes: Number of attributes they are about.
    """
    return (
        f"It shows what the model with the checkpoint hash below answers to {rows} photographs and captions of this "
        "person, beside the model it was made from and one that never saw them.",
        f"Intervals are 95% intervals over the person's attributes ({attributes}), because the captions of one "
        "attribute tell the same value in other words. They say how far a mean would move if other attributes of the "
        "same kind had been recorded of this person; not what another run, seed, training or person would give. Few "
        "attributes make them wide, and, where values are skewed, rough.",
        "Each verdict and each figure stands for itself: of many certificates some are off by luck.",
    )


def ends(interval: Ends, form: str) -> str:
    """A mean with its interval: ``0.0041 (0.0012 to 0.0070)``."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:{form}} (no interval: one attribute)"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def said_forgotten(verdict: Forgotten, summary: Summary, pairs: Sequence[Pair]) -> str:
    """A verdict on what was to be forgotten in figures, on one line."""
    hits, before = sum(pair.found for pair in pairs), sum(pair.found_before for pair in pairs)
    most = verdict.allowed.levels[verdict.allowed.most].value
    return (
        f"{hits} of {len(pairs)} captions shown to be found, {before} before; mean reciprocal rank "
        f"{summary.after.value:.4f}, {summary.before.value:.4f} before, up to {most:.4f} counts as gone"
    )


def why_forgotten(
    verdict: Forgotten,
    summary: Summary,
    pairs: Sequence[Pair],
    trials: Sequence[Trial],
    leaking: Sequence[Trial],
    unasked: Sequence[str],
) -> tuple[str, ...]:
    """The reasons of a verdict on what was to be forgotten.

    Args:
        verdict: The verdict.
        summary: Of the reciprocal ranks.
        pairs: The associations that were to be forgotten.
        trials: What the metrics found on them.
        leaking: Those of leaks that are measured otherwise than by ranks.
        unasked: What was not measured, though the rules ask for it.
    """
    by = {
        "guessing": f"what guessing among {summary.gallery:,} captions gives",
        "Clean": "what a model has that never saw the person",
        "1% of before": "1% of what there was before",
    }
    says = {
        Verdict.HOLDS: "shows that more is left",
        Verdict.CLEAR: "shows that no more is left",
        Verdict.OPEN: "leaves open whether more is left",
    }[verdict.allowed.verdict]
    most, decisive = verdict.allowed.most, verdict.allowed.decisive
    highest, level = verdict.allowed.levels[most], verdict.allowed.levels[decisive]
    than = "it" if decisive == most else f"{by[decisive]}, {level.value:.4f}, which is less"
    reasons = [
        f"On average: the mean reciprocal rank is {ends(summary.after, '.4f')}, {summary.before.value:.4f} before. "
        f"Up to {highest.value:.4f} counts as gone, {by[most]}. The difference from {than}: "
        f"{ends(Ends.of(level.excess), '+.4f')} {says}."
    ]
    if not verdict.known:
        reasons.append(
            "Before: the model is not shown to know more of this person than one that never saw them, so there was "
            "nothing that could be seen to go."
        )
    hits, before = [pair for pair in pairs if pair.found], sum(pair.found_before for pair in pairs)
    places = sorted(
        ((pair.rank_private or pair.rank).after, pair.rank.after, label(pair.field)) for pair in hits if pair.rank
    )
    alone = " ({0:g} among captions to be forgotten)" if any(pair.rank_private for pair in hits) else ""
    best = ", ".join(f"{field} at place {place:g}{alone.format(own)}" for own, place, field in places[:5])
    reasons.append(
        f"One by one: {len(hits) or 'none'} of {len(pairs)} captions {'is' if len(hits) == 1 else 'are'} shown to be "
        f"found better than by guessing, and not in Clean ({before} before){': ' * bool(best)}{best}"
        f"{', and more' * (len(places) > 5)}."
    )
    seen = [pair.others_first for pair in pairs if pair.others_first is not None]
    if verdict.others is None or not seen:
        reasons.append("Others: not looked at, because which captions come first was not kept.")
    else:
        b, a, c = (sum(models[i] for models in seen) for i in range(3))
        reasons.append(
            f"Others: for {a} of {len(pairs)} photographs another caption of the person is among the first ones "
            f"({b} before, {c} in Clean)."
        )
    reasons += [_named(trial) for trial in trials if trial.role == "naming"]
    reasons += [_leaking(trial) for trial in leaking]
    reasons.append(f"Beside a model that never saw the person: {_beside(trials)}.")
    if unasked:
        reasons.append(f"Not looked at: {', '.join(unasked)}. Without that nobody is called forgotten.")
    return tuple(reasons)


def _named(trial: Trial) -> str:
    """How often the person is named right, and what that shows."""
    rate = trial.values
    more = "more often than" if trial.stand is Stand.ABOVE else "not shown to be more often than"
    if trial.never_seen is None:
        return (
            f"By name: for {rate.after:.0%} of the photographs the right name comes first ({rate.before:.0%} before, "
            f"{rate.clean:.0%} in Clean); there are too few people to say how often a model names those it never saw."
        )
    return (
        f"By name: for {rate.after:.0%} of the photographs the right name comes first ({rate.before:.0%} before, "
        f"{rate.clean:.0%} in Clean), {more} a model names people it never saw."
    )


def _leaking(trial: Trial) -> str:
    """What is left of a leak that is measured otherwise than by ranks."""
    values = trial.values
    beside = f"({values.before:.3f} before, {values.clean:.3f} in Clean)"
    return f"By {trial.column}: {values.after:.3f} {beside}, {trial.stand}."


def _beside(trials: Sequence[Trial]) -> str:
    """Which figures are as in Clean, and which are not."""
    if all(trial.never_seen is None for trial in trials):
        return "nothing can be told, there are too few people to say what that gives"
    parts = []
    for stand in (Stand.ABOVE, Stand.BELOW, Stand.AS, Stand.OPEN):
        standing = [trial for trial in trials if trial.stand is stand]
        if stand in (Stand.ABOVE, Stand.BELOW):
            named = [
                f"{trial.column} ({trial.values.after:.3f}; its people lie from {trial.never_seen[0]:.3f} to "
                f"{trial.never_seen[1]:.3f})"
                for trial in standing
                if trial.never_seen
            ]
        else:
            named = [trial.column for trial in standing]
        if named:
            parts.append(f"{stand}: {', '.join(named)}")
    return "; ".join(parts)


def said_kept(verdict: Kept) -> str:
    """A verdict on what was to be kept in figures, on one line."""
    if not verdict.retention:
        return "nothing that could be kept or lost"
    listed = ", ".join(f"{round(share.value, 2) + 0.0:.0%} by {name}" for name, share in verdict.retention.items())
    return f"of what was known, {listed} is left; {MIN_HOLDOUT_RETENTION:.0%} is asked for"


def why_kept(verdict: Kept, ranked: bool) -> tuple[str, ...]:
    """The reasons of a verdict on what was to be kept.

    Args:
        verdict: The verdict.
        ranked: Whether ranks were measured.
    """
    if verdict.word is Word.UNKNOWN:
        return (
            "Before: the model is not shown to know more of these captions than one that never saw them, so there was "
            "nothing that could be kept or lost.",
        )
    reasons = [
        f"By {measure}: {ends(Ends.of(share), '.1%')} is kept of what the model before knows beyond Clean."
        for measure, share in verdict.retention.items()
    ]
    if verdict.word is Word.ERASED:
        reasons.append(
            "By rank, no more is left than guessing, or a model that never saw it, gives."
            if ranked
            else "By cosine, no more is left than a model has that never saw it."
        )
    if not ranked:
        reasons.append("Ranks of what was to be kept were not measured; a cosine may stay high though they are lost.")
    return tuple(reasons)


def caution(modes: Sequence[str], word: Word) -> str:
    """What the run as a whole means for a verdict on one person; empty if nothing.

    Args:
        modes: Failure modes that are shown.
        word: The verdict on what was to be forgotten, or, of a held-out person, kept.
    """
    gone = word in (Word.GONE, Word.TRACE)
    parts = []
    if gone and CATASTROPHIC in modes:
        parts.append("This model's general knowledge is damaged: that it finds nothing of this person shows little.")
    if gone and OVER_GENERALISED in modes:
        parts.append("This model also lost what it was to keep of others: it did not single this person out.")
    if gone and INEFFECTIVE in modes:
        parts.append("Of the people to be forgotten as a whole, more is left than allowed: this person is no rule.")
    if gone and RECOVERABLE in modes:
        parts.append("An attack brings back some of what this model was to forget of all: it may be hidden, not gone.")
    return " ".join(parts)


def label(field: str) -> str:
    """An attribute as people write it."""
    return {"iban": "IBAN", "emails": "email"}.get(field, field.replace("_", " "))

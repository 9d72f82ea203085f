"""The page ``laboratory.md``, from what ``laboratory.py`` and ``benchmarks/meta_evaluation.py`` measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import MARK, code, number, table

from salmu_core.judge.tails import TAILS

Data = Mapping[str, Any]

EFFICACY = ("RetFail_MRR", "RetFail_R@1", "ACS", "AssocStr", "CoreAssoc", "IdZSC")
UTILITY = ("GenKnow", "InterIdSim", "IntraIdSim", "InterIdRet", "IntraIdRet", "VisIdInt", "FragSim")
MARKS = {"at": " ≈", "off": "*", "": ""}


def laboratory(study: Data, metrics: Data) -> str:
    """The whole page."""
    seconds, worlds = study["seconds"], len(study["worlds"])
    facts = {
        "worlds": worlds,
        "seeds": len(study["seeds"]),
        "budgets": " and ".join(f"{b:g}" for b in study["budgets"]),
        "runs": study["runs"],
        "command": study["command"],
        "minutes": f"{(seconds['unlearning'] + seconds['scoring']) / worlds / 60 / 2:.0f}",
        "unlearning": f"{seconds['unlearning'] / worlds:.0f}",
        "scoring": f"{seconds['scoring'] / worlds:.0f}",
        "torch": study["environment"]["torch"],
    }
    parts = [MARK, INTRODUCTION.format(**facts)]
    for budget in reversed(study["budgets"]):
        lines = [line for line in study["lines"] if line["budget"] == budget]
        parts += [
            f"## At a budget of {budget:g}\n",
            _verdicts(lines),
            VERDICTS if budget == max(study["budgets"]) else "",
        ]
        for title, names in (
            ("Efficacy: Clean is the target", EFFICACY),
            ("Utility: Compromised is the target", UTILITY),
        ):
            parts += [f"### {title}, budget {budget:g}\n", _figures(study, lines, names)]
        parts += [FIGURES if budget == max(study["budgets"]) else ""]
        parts += [f"### Tails, budget {budget:g}\n", _tails(study, lines)]
        parts += [TAIL_TEXT if budget == max(study["budgets"]) else ""]
        parts += [f"### Places, budget {budget:g}\n", _places(lines)]
        parts += [PLACES if budget == max(study["budgets"]) else ""]
    parts += [
        FRONT,
        PATTERN,
        _pattern(study),
        DEPARTURES,
        PAPER,
        _paper(study),
        CORRELATION,
        _metrics(metrics),
        RESPONSE,
        AGAIN,
    ]
    return "\n".join(filter(None, parts))


def interval(found: Mapping[str, float | None], form: str = "") -> str:
    """A value with the longer half of its interval."""
    value, low, high = found["value"], found["low"], found["high"]
    assert value is not None
    shown = format(value, form) if form else number(value)
    if low is None or high is None:
        return shown
    half = max(high - value, value - low)
    if form:
        return f"{shown} ±{format(half, form.lstrip('+'))}"
    return f"{shown} ±{half:.{4 if 0 < abs(value) < 0.01 else 3}f}".replace("±0.", "±.")


def _verdicts(lines: list[Data]) -> str:
    rows = []
    for line in lines:
        kept = line["holdout_retention"]
        worst = [min((kept[n] for n in names), key=lambda each: each["value"]) for names in PAIRS]
        rows.append(
            (
                code(line["method"]),
                interval(line["leakage_reduction"], ".1%"),
                LIKE[line["unlike_clean"]],
                interval(line["knowledge_change"], "+.1%"),
                *(interval(each, ".0%") for each in worst),
                _modes(line),
                f"{line['seconds']:.1f}",
            )
        )
    header = (
        "method",
        "leak gone",
        "and Clean",
        "GenKnow",
        "similarity kept",
        "retrieval kept",
        "failure modes",
        "s",
    )
    return table(header, rows, figures=True)


LIKE = {"clear": "equal", "holds": "differs", "open": "open", None: "-"}
PAIRS = (("InterIdSim", "IntraIdSim"), ("InterIdRet", "IntraIdRet"))


def _modes(line: Data) -> str:
    modes: dict[str, str] = line["failure_modes"]
    said = {
        "ineffective": " (≠Clean)" * line["only_unlike_clean"],
        "over-generalised": " (<0)" * line["worse_than_never_seen"],
    }
    shown = [mode + said.get(mode, "") for mode, v in modes.items() if v == "holds"]
    return ", ".join([*shown, *(f"{mode}?" for mode, v in modes.items() if v == "open")]) or "none"


def _figures(study: Data, lines: list[Data], names: tuple[str, ...]) -> str:
    rows = [
        (role.capitalize(), *(interval(study["references"][role][name]) for name in names))
        for role in ("compromised", "clean")
    ]
    rows += [
        (
            code(line["method"]),
            *(interval(line["figures"][name]) + MARKS[line["figures"][name]["mark"]] for name in names),
        )
        for line in lines
    ]
    return table(("", *map(code, names)), rows, figures=True)


def _tails(study: Data, lines: list[Data]) -> str:
    rows = [
        (role.capitalize(), *(interval(study["references"][role][name]) for name in TAILS))
        for role in ("compromised", "clean")
    ]
    rows += [(code(line["method"]), *(interval(line["tails"][name]) for name in TAILS)) for line in lines]
    return table(("", *map(code, TAILS)), rows, figures=True)


def _places(lines: list[Data]) -> str:
    def place(line: Data, aim: str) -> str:
        first, last = line["places"].get(aim, ("-", "-"))
        return str(first) if first == last else f"{first} - {last}"

    rows = [
        (code(line["method"]), *(place(line, aim) for aim in ("RetFail_MRR", "GenKnow", "holdouts"))) for line in lines
    ]
    return table(("", "least leak", "GenKnow kept", "holdouts kept"), rows, figures=True)


def _pattern(study: Data) -> str:
    rows = [(code(claim["method"]), claim["claim"], claim["holds"], claim["found"]) for claim in study["pattern"]]
    return table(("method", "in the paper", "here", "what is found at a budget of 5"), rows)


def _paper(study: Data) -> str:
    pairs, rho = study["paper"]["pairs"], study["paper"]["rho"]
    names = list(pairs)
    rows = [
        (code(method), *(f"{pairs[name][method][0]:.3f} / {pairs[name][method][1]:.3f}" for name in names))
        for method in pairs[names[0]]
    ]
    rows.append(("Spearman's rho", *(f"{rho[name]:+.2f}" for name in names)))
    return table(("published / here", *map(code, names)), rows, figures=True)


def _metrics(found: Data) -> str:
    rows = []
    for name, each in found["figures"].items():
        response = [each["response"][share] for share in ("25", "50", "75")]
        order = "-" if each["order"] is None else f"{each['order']:+.2f}"
        rows.append(
            (
                code(name),
                number(each["clean"]),
                number(each["compromised"]),
                "yes" if each["separated"] else "**no**",
                " ".join("-" if share is None else f"{share:.2f}" for share in response),
                order,
                *(_percent(each["moved"][change]) for change in ("resized", "reworded")),
            )
        )
    header = ("", "Clean", "Compromised", "separated", "at 25, 50, 75%", "order", "resized", "reworded")
    return (
        METRICS.format(worlds=len(found["worlds"]), command=found["command"]) + "\n" + table(header, rows, figures=True)
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


INTRODUCTION = """\
# The laboratory

The real pair of models exists once, so nobody knows what another pair would have shown. `mini` can be made as often
as a study needs: a *world* has its own people, pictures, captions and both reference models. Here every baseline runs
in {worlds} worlds with {seeds} seeds at budgets of {budgets}, {runs} runs in all:

```bash
{command}
```

A world took {unlearning} s of unlearning and {scoring} s of scoring, about {minutes} minutes with two processes on two
cores (torch {torch}), and a few minutes before that to be made. Every table below has the mean over worlds and half of
its 95% interval over worlds: what another world would give. [Worlds, seeds and intervals](statistics.md) says how they
are made. All methods run with their documented defaults, chosen on two other worlds by [a search](protocol.md#training)
by `probe()` alone. What that search is made of is not as blind: its rule, its grid's lower end and the batches of 16
were settled after looking at GenKnow and RetFail on one of those two worlds.
"""
VERDICTS = """\
A mode with a question mark is open: its interval lies on both sides of the bar. *And Clean* is the two-sided test of
equivalence on RetFail_MRR: *equal* is shown to be as if never seen, *differs* is shown to be further off than two Clean
models are from each other. *s* is the wall time of a run. [Three ways to fail](failure-modes.md) has the rules.
"""
FIGURES = """\
`*`: shown to miss its target (p < 0.05, adjusted by Holm over the table). ≈: shown to be at it, within what two
reference models of its kind differ between worlds. Neither: not decided.
"""
TAIL_TEXT = "\n".join(f"* `{name}`: {what}." for name, what in TAILS.items()) + "\n"
PLACES = """\
From which place to which a method may rank at equal budget, every pair compared in the same worlds. Whoever is not
shown to differ shares a place.
"""
FRONT = """\
```{picture} front
Open circles: a budget of 1; full ones: 5. Shaded: GenKnow is kept. Dotted: the bars of 99% and 1%.
```
"""
PATTERN = """\
## Is it the paper's pattern?

The sizes can't be SALMUBench's; the way each method fails should be. *Open*: the interval lies on both sides of the
bar.
"""
DEPARTURES = """\
### Where `mini` departs, and why

* **Finetuning** all but forgets on SALMUBench and hardly forgets here. A budget of 5 is some 540 steps on `mini` and
  ten thousand there, and forgetting by the way takes many steps or large ones. [The
  search](../benchmarks/learning_rates.tsv) has the large ones: at 3e-3 a tenth of the leak is left, and fewer than
  half of the retain images still have the nearest caption they had. So at its default it is *ineffective*; at a
  higher rate it would be *catastrophic* as well.
* **Negative Gradient** loses little GenKnow in the paper and nearly all of it here. It has a front and no good point
  on it: at 3e-6 it leaves four fifths of the leak and changes a tenth of what the model does on retain pairs, at 1e-5
  a tenth and seven tenths. Its default ends the leak, because that is what the search asks for first. A model of half
  a million weights has less room to forget one thing and keep another than a ViT-B/16.
* **Direct Similarity Minimization** is catastrophic in both, far more here, for the same reason. The sign of its
  holdout similarities, far below Clean's, is the paper's.
* **Shuffled Captions** keeps more of the holdouts' *cosine* than in the paper. None of their *rank* is left: all
  private captions have come to lie together, and a mean cosine does not see it. That is what the retrieval of
  holdouts is for.
* **CLIPErase, DELETE and VLUnlearn** are counted as ineffective although 99% of the leak is gone (*≠Clean*): their
  RetFail is still above Clean's by more than Clean models differ, and below that of a model that guesses. By the
  published table, with three digits and one pair of models, nobody could have told. What is left is no leak that
  finds a caption; it is a difference from never having seen.
* **Descent to Delete** is noise calibrated to the number of training pairs, which is small here, so the noise is
  large. The paper's table does not have it.
* **Clean** has the higher VisIdInt and FragSim, as in the paper, and the higher GenKnow too, which in the paper is
  lower by half a point.
"""
PAPER = """\
## Beside the published table

At a budget of 5; the published figures are of a ViT-B/16.
"""
CORRELATION = """\
Seven methods are few, and four of the published MRR are the same to three digits, so a rank correlation of a column
is a rough figure. `benchmarks/paper_table.py RUNS` prints this table from any results folder.
"""
METRICS = """\
## Are the metrics any good?

A metric of unlearning is worth something if it tells Compromised from Clean in every world (*separated*: the
difference has one sign everywhere, and p < 0.05 over worlds, adjusted by Holm over the table); if it follows how much
of the sensitive set a model was trained on (*at 25, 50, 75%*: where models lie that saw so much of it, 0 being Clean
and 1 Compromised; *order*: the rank correlation of all five with the share); and if it stays put when nothing that
was memorised changes (*resized*: every image at three quarters of its size; *reworded*: every private sentence in
another of its styles; as a share of the distance from Clean to Compromised, the worse of the two models). Over
{worlds} worlds:

```bash
{command}
```
"""
RESPONSE = """\
Three things to know before using them. *Rewording* moves RetFail and its like by a quarter of their range: a model
keeps sentences, not only facts, so a low rank says that *this* sentence is no longer found; the cosine metrics hardly
notice.
*AssocStr* and the holdout cosines are near Compromised's when only a quarter was seen: they say that a model knows what
such captions look like, and much less whose they are. *GenKnow* does not separate the two models, nor should it: it is
there to notice damage, and its two reference models are as good as equal.

```{picture} response
A metric that follows what a model has seen lies on the dotted line or bends smoothly around it. GenKnow is left out:
its two ends are a point or so apart.
```
"""
AGAIN = """\
## Making this page again

```bash
salmu run --all --world 0-4 --seed 0-2 --budget 1,5
python docs/laboratory.py runs
python benchmarks/meta_evaluation.py --world 0-2 > docs/data/metrics.json
python docs/generate.py
```

The same study gives the same bytes of every checkpoint and every figure on the same machine; other processors differ in
the last bits.
"""

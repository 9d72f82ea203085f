"""What ``benchmarks/device/measure.py`` measured, as Markdown; every table says which card its figures are of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]

DATA = Path(__file__).parents[1] / "data" / "device"
NOT_YET = "**Not measured yet.**"
#: What scoring one model embeds at full size: the released rows and ImageNet's validation images; each row's caption,
#: were all different, and 80 prompts for each of 1,000 classes.
FULL_IMAGES, FULL_CAPTIONS = 76_794 + 50_000, 76_794 + 80 * 1000


def text(folder: Path = DATA) -> str:
    """The section, as Markdown: of every card, the one that was measured last first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    found.sort(key=lambda measurement: measurement["date"], reverse=True)
    return "\n".join(map(_of_card, found)) or NOT_YET + "\n"


def _of_card(found: Mapping[str, Any]) -> str:
    of = {kind: [r for r in found["results"] if r["kind"] == kind] for kind in {r["kind"] for r in found["results"]}}
    peaks = {peak["precision"]: peak["tflops"] for peak in of.get("peak", [])}
    caption = f"measured on one {found['machine']['card']}"
    parts = [_introduction(found), _not_yet(found["results"], found["machine"]["salmu_core"])]
    for kind, write in TABLES.items():
        if kind in of:
            parts.append(write(of[kind], peaks, caption))
    parts += [_full_size(of.get("encoding", []), caption), _failures(of.get("failure", []))]
    return "\n".join(part for part in parts if part)


def _introduction(found: Mapping[str, Any]) -> str:
    machine, subject = found["machine"], found["subject"]
    tried = " **At tiny sizes: this shows that it runs, and measures nothing.**" if found["quick"] else ""
    beside = f", while {found['beside']}" if found.get("beside") else ""
    card = machine["card"] + (f" ({machine['memory_gib']:g} GiB)" if machine["memory_gib"] else "")
    with_what = [f"driver {machine['driver']}", f"CUDA {machine['cuda']}"] if machine["cuda"] else []
    versions = [*with_what, f"torch {machine['torch']}", f"open_clip {machine['open_clip']}"]
    return (
        f"Measured on one {card} on {found['date']} with {', '.join(versions)} and {machine['cores']} processor "
        f"cores, by `{found['command']}` in {found['seconds']:.0f} seconds{beside}.{tried} The model is open_clip's "
        f"{subject['architecture']} with random weights ({subject['weights']} million); its forward pass takes "
        f"{subject['image_gflop']:g} GFLOP an image and {subject['caption_gflop']:g} a caption, counted as products "
        "of matrices, convolutions and attention, a multiplication and an addition as two; a training step counts as "
        "three forward passes. Shares are of the matrix product in the same precision that this very card reached.\n"
    )


def _not_yet(results: Sequence[Result], version: str) -> str:
    """What there is to measure and the file has not: an earlier version had no such thing, or there was no time."""
    trained = [r for r in results if r["kind"] == "training"]
    graphs = [r for r in trained if r["variant"] == "CUDA graphs"]
    measured = {
        "the batches of both sets through the towers together": any(r.get("joint") for r in trained),
        "images read and copied ahead of the step": any(r.get("ahead") for r in trained),
        "CUDA graphs as `salmu run --compile` makes them": any(r.get("joint") for r in graphs),
        "four runs on one card": any(r["kind"] == "together" and r["processes"] == 4 for r in results),
        "cosines in TF32": any(r["kind"] == "agreement" and r.get("precision") == "tf32" for r in results),
    }
    missing = [what for what, known in measured.items() if not known]
    return f"These are figures of version {version}. **Not measured yet:** {'; '.join(missing)}.\n" if missing else ""


def _peak(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [(r["precision"], f"{r['tflops']:.0f}" if r["tflops"] >= 10 else f"{r['tflops']:.2g}") for r in results]
    title = f"Matrix product of {results[0]['size']} x {results[0]['size']} random numbers, {caption}"
    return _table(title, ("precision", "TFLOP/s"), rows)


def _training(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [
        (
            f"{r['batch']} + {r['batch']}",
            _way(r),
            f"{r['pairs_per_second']:,.0f}",
            _share(r["tflops"], peaks.get("bf16")),
            _percent(r["waiting"]),
            _gib(r["peak_gib"]),
            f"{r['first_seconds']:.1f}",
        )
        for r in results
    ]
    header = ("pairs a step", "", "pairs/s", "share of peak", "card waits", "memory, GiB", "first steps, s")
    note = (
        "Steps of the loop all methods share: pixels drawn from main memory, two contrastive losses, backward, "
        "clipping, AdamW, in bf16 by accelerate. The card waits while no kernel runs; copying to it is waiting. "
        "Together: the batches of both sets go through the towers at once. Ahead: the next step's images are read and "
        "copied meanwhile.\n"
    )
    return f"{_table(f'Training, {caption}', header, rows)}\n{note}"


def _way(result: Result) -> str:
    said = {"together": result.get("joint"), "ahead": result.get("ahead"), "AdamW not fused": not result["fused"]}
    return ", ".join([result["variant"], *(what for what, so in said.items() if so)])


def _encoding(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [
        (
            r["tower"],
            r["path"],
            r["precision"],
            r["batch"],
            f"{r['per_second']:,.0f}",
            _share(r["tflops"], peaks.get(r["precision"])),
        )
        for r in results
    ]
    return _table(f"Encoding, {caption}", ("", "", "precision", "at a time", "a second", "share of peak"), rows)


def _agreement(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [
        (
            f"{r.get('precision', 'bf16')}, length 1 in {r['normalised']}",
            r["images"],
            r["captions"],
            f"{r['largest']:.2g}",
            f"{r['mean']:.2g}",
        )
        for r in results
    ]
    title = f"Cosines against those in fp32, all images with all captions, {caption}"
    return _table(title, ("", "images", "captions", "largest difference", "mean difference"), rows)


def _together(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    alone, batch = results[0]["pairs_per_second"], results[0]["batch"]
    rows = [(r["processes"], f"{r['pairs_per_second']:,.0f}", f"{r['pairs_per_second'] / alone:.2f}") for r in results]
    title = f"Processes that train at the same time, {batch} + {batch} pairs each, {caption}"
    return _table(title, ("processes", "pairs/s, all together", "times one"), rows)


def _unlearned(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [
        (r["method"], r["steps"], r["pairs"], f"{r['seconds']:.1f}", f"{r['pairs'] / r['seconds']:,.0f}",
         f"{r['peak_gib']:.1f}")
        for r in results
    ]  # fmt: skip
    header = ("method", "steps", "pairs", "seconds", "pairs/s", "memory, GiB")
    return _table(f"Unlearning in a whole `salmu run`, by its ledger, {caption}", header, rows)


def _scored(results: Sequence[Result], peaks: Mapping[str, float], caption: str) -> str:
    rows = [(r["model"], r["images"], r["captions"], r["metrics"], f"{r['seconds']:.1f}") for r in results]
    header = ("model", "images", "captions and prompts", "metrics", "seconds")
    return _table(f"Scoring in the same run, the first one with decoding, {caption}", header, rows)


#: Kind of result -> what writes a table of them; in the order of the page.
TABLES: dict[str, Callable[[Sequence[Result], Mapping[str, float], str], str]] = {
    "peak": _peak,
    "training": _training,
    "together": _together,
    "encoding": _encoding,
    "agreement": _agreement,
    "unlearned": _unlearned,
    "scored": _scored,
}


def _full_size(results: Sequence[Result], caption: str) -> str:
    rates = {(r["tower"], r["precision"]): r["per_second"] for r in results if r["path"] == "scoring"}
    told = [
        f"{FULL_IMAGES / rates['images', precision] + FULL_CAPTIONS / rates['captions', precision]:,.0f} seconds in "
        f"{precision}"
        for precision in ("fp32", "tf32", "bf16")
        if ("images", precision) in rates and ("captions", precision) in rates
    ]
    if not told:
        return ""
    return (
        f"Extrapolated, not measured: at these rates the embeddings of one model at full size ({FULL_IMAGES:,} images "
        f"with ImageNet's, {FULL_CAPTIONS:,} captions and prompts if no two are the same) take {', '.join(told)}; "
        f"decoding and metrics come on top ({caption}).\n"
    )


def _failures(results: Sequence[Result]) -> str:
    if not results:
        return ""
    rows = [(r["part"], r["what"], r["why"]) for r in results]
    return _table("What has no figure", ("part", "", "why"), rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)
    return f"**{title}**\n\n{cells}\n"


def _share(tflops: float, peak: float | None) -> str:
    return f"{tflops / peak:.0%}" if peak else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _gib(size: float | None) -> str:
    return "-" if size is None else f"{size:.1f}"

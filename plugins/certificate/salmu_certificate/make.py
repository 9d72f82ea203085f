"""Writes a certificate: the JSON, and the page that shows it; never one beside another's. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from salmu_report.html import assets, pages
from salmu_report.people import People, Person

from salmu_certificate import wording
from salmu_certificate.records import KIND, Certificate, Ends, Pair, Stand, Word
from salmu_core.disk.files import replacing, sync
from salmu_core.disk.hashing import hash_text
from salmu_core.disk.reading import read_json
from salmu_core.errors import FileError, UsageError
from salmu_core.show.escape import visible_json, visible_lines

#: Longer side of a portrait, in pixels: beside each caption, and at the top.
SMALL, LARGE = 72, 200
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLES = (("salmu_report", "base.css"), ("salmu_certificate", "certificate.css"))
#: Verdict -> how it looks; the words say it too.
_LOOKS = {
    Word.STILL: "holds",
    Word.ERASED: "holds",
    Word.PARTLY: "holds",
    Word.GONE: "clear",
    Word.KEPT: "clear",
}
#: Where a value stands -> the sign beside it.
SIGNS = {Stand.AS: "=", Stand.ABOVE: "▲", Stand.BELOW: "▼", Stand.OPEN: "?"}


def portraits(people: People, person: Person) -> dict[str, str | None]:
    """File name -> a small portrait as a ``data:`` address, and the first of them larger under an empty name.

    None stands for one that can't be decoded.
    """
    small = {a.file_name: people.portrait(a, SMALL) for a in person.associations}
    return {**small, "": people.portrait(person.associations[0], LARGE)}


def as_json(certificate: Certificate) -> str:
    """The certificate as it is written."""
    return visible_json(certificate.model_dump(mode="json")) + "\n"


def render(certificate: Certificate, pictures: Mapping[str, str | None]) -> str:
    """The page as HTML. It shows what the JSON says, and portraits.

    Args:
        certificate: What to show.
        pictures: What `portraits` gives.
    """
    environment = pages("salmu_certificate")
    environment.filters |= {"label": wording.label, "sentence": _sentence, "ends": _ends}
    return environment.get_template("certificate.html.jinja").render(
        certificate=certificate,
        pictures=pictures,
        policy=POLICY,
        styles=assets(*_STYLES),
        looks=_LOOKS,
        signs=SIGNS,
        parts=wording.PARTS,
        short=wording.SHORT,
        purposes=wording.PURPOSES,
        groups=wording.GROUPS,
        blocks=_blocks(certificate.pairs),
        digest=hash_text(as_json(certificate)),
    )


def write(out: Path, certificate: Certificate, pictures: Mapping[str, str | None]) -> tuple[Path, Path]:
    """Write the page and the JSON; what a certificate was before is replaced, anything else is not.

    Args:
        out: The page; the JSON has the same stem.
        certificate: What to write.
        pictures: What `portraits` gives.

    Returns:
        Both paths.

    Raises:
        UsageError: The page can't be written there; nothing was.
    """
    page, data = targets(out)
    html, text = visible_lines(render(certificate, pictures)), as_json(certificate)
    with replacing(page) as new_page, replacing(data) as new_data:
        new_page.write_text(html, encoding="utf-8")
        new_data.write_text(text, encoding="utf-8")
        for new in (new_page, new_data):
            sync(new)  # what can fail has not
        page.unlink(missing_ok=True)  # then the JSON comes, then its page: at no time one beside another's
    return page, data


def targets(out: Path) -> tuple[Path, Path]:
    """Where page and JSON go.

    Raises:
        UsageError: It is no place for a page, or something else lies there.
    """
    page = out.expanduser()
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"A certificate is a page: give --out a name that ends in .html, not {out}.")
    data = page.with_suffix(".json")
    for path in (page, data):
        if path.is_dir():
            raise UsageError(f"{path} is a folder. Give another name by --out.")
    if data.exists() and not _is_certificate(data):
        raise UsageError(f"{data} is there already and is no certificate. Give another name by --out.")
    if page.exists() and not data.exists():
        raise UsageError(f"{page} is there already, and no certificate beside it. Give another name by --out.")
    return page, data


def _is_certificate(path: Path) -> bool:
    try:
        return bool(read_json(path).get("kind") == KIND)
    except FileError:
        return False


def _blocks(pairs: tuple[Pair, ...]) -> list[tuple[str, list[tuple[str, list[Pair]]]]]:
    """Split -> attribute -> its associations, in order."""
    return [
        (split, [(field, list(associations)) for field, associations in groupby(block, key=lambda pair: pair.field)])
        for split, block in groupby(pairs, key=lambda pair: pair.split)
    ]


def _sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def _ends(interval: Ends, form: str) -> str:
    """The interval alone."""
    if interval.low is None or interval.high is None:
        return "no interval"
    return f"{interval.low:{form}} to {interval.high:{form}}"

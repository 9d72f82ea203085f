"""What is typed after options, as values of a study. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable

from salmu_core.contract.settings import Settings
from salmu_core.disk.reading import parse_json
from salmu_core.errors import UsageError

#: Numbers of one range; more is a slip of the finger.
MAX_RANGE = 1000


def parse_numbers(texts: Iterable[str], option: str, what: str) -> list[int]:
    """``["0-2", "5,7"]`` as ``[0, 1, 2, 5, 7]``; each once, in the order given.

    Args:
        texts: What was given.
        option: With which option, as in ``--seed``.
        what: What the numbers are, as in ``seeds``.

    Raises:
        UsageError: A text is no whole number, range or list of them.
    """
    numbers: list[int] = []
    for text in texts:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            ends = (first, last if dash else first)
            plain = all(n.isascii() and n.isdigit() and len(n) < 10 for n in ends)
            if not plain or not 0 <= int(ends[1]) - int(ends[0]) < MAX_RANGE:
                raise UsageError(f"{option} {text}: {what} are whole numbers from 0, as in 3, or 0-4, or 0,2,5.")
            numbers += range(int(ends[0]), int(ends[1]) + 1)
    return list(dict.fromkeys(numbers))


def parse_budgets(texts: Iterable[str]) -> list[float]:
    """``["1,5", "20"]`` as ``[1.0, 5.0, 20.0]``; each once, in the order given.

    Raises:
        UsageError: A text is no number or list of them.
    """
    try:
        return list(dict.fromkeys(float(part) for text in texts for part in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--budget: {error}. Budgets are numbers above 0, as in 5, or 1,5.") from None


def parse_settings(texts: Iterable[str]) -> dict[str, Settings]:
    """``["cliperase.lr=1e-4"]`` as ``{"cliperase": {"lr": 1e-4}}``; values are JSON, or else text.

    A field within a field has a dot more: ``salun.settings.lr=1e-4``.

    Raises:
        UsageError: A text is not of the form METHOD.FIELD=VALUE.
    """
    settings: dict[str, Settings] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        method, dot, field = path.strip().partition(".")
        if not (equals and dot and method and field):
            raise UsageError(f"--set {text!r} is not of the form METHOD.FIELD=VALUE, as in cliperase.lr=1e-4.")
        try:
            parsed = parse_json(value)
        except ValueError:
            parsed = value
        *outer, last = field.split(".")
        inside: object = settings.setdefault(method, {})
        for part in outer:
            inside = inside.setdefault(part, {}) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or last in inside:
            raise UsageError(f"--set gives {method}.{field} twice. One run for each of several values: a study file.")
        inside[last] = parsed
    return settings

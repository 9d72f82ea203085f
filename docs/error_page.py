"""The page of errors, from the classes' own docstrings; they are read as source, so that nothing is imported for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tables import MARK, code, prose, table

from salmu_core import errors

INTRODUCTION = """\
What goes wrong is a sentence on standard error that begins with `Error:`, and an exit code. `SALMU_DEBUG=1` shows the
traceback instead.

| exit code | meaning |
| --- | --- |
| 0 | All that was asked for is there and whole. |
| 1 | Something is missing, damaged or failed. |
| 2 | The request makes no sense; nothing was started or written. |
| 130 | Somebody stopped it, by Ctrl-C or SIGTERM; what was finished is kept. |

## Three outcomes

What a method, a metric or an attack comes to is one of three things:

* **A value**, which is kept.
* **A verdict** about its code: it raised a `TypeError`, returned something else than it declared, drew more than its
  budget, turned to NaN. It is kept with its sentence, shown in every table, and makes the exit code 1; it is tried
  again once the code has changed, or with `--redo`.
* **The machine failed**: the disk, the memory, a library that is not there, a card that fell over, or anything that is
  not known to be a mistake of the code, such as an exception of a library's own. It says nothing of the code, so
  nothing is kept: the piece is told, left out, makes the exit code 1, and is tried again by the same command. The other
  pieces go on; only where results can't be written three times in a row does a study end. What was raised because of
  such an exception (`raise ... from`, or while it was handled) is of its kind.

References count like runs: in what is left to do, in `--redo`, and in the exit code.
"""
#: What becomes of exceptions that are not SALMU's own.
OTHERS = [
    (
        "`ArithmeticError`, `AssertionError`, `AttributeError`, `LookupError`, `NameError`, `SyntaxError`, "
        "`TypeError`, `ValueError`, `SystemExit`, what the plugin defines itself",
        "a verdict",
    ),
    (
        "`RuntimeError`, which torch raises for shapes that don't fit",
        "a verdict, unless its words are those of an allocator, a card, its libraries or the system",
    ),
    (
        "`OSError`, `MemoryError`, `ImportError`, `torch.OutOfMemoryError`, `torch.AcceleratorError`, anything unknown",
        "the machine's",
    ),
]
CLASSES = """\
## Classes

The third column says what becomes of it where a plugin's code raises it.
"""


class Class(NamedTuple):
    """An error class as its source has it."""

    name: str
    bases: tuple[str, ...]
    module: str
    docstring: str

    @property
    def paragraphs(self) -> list[str]:
        """When it is raised, what to do, and what else is said."""
        return [" ".join(part.split()) for part in self.docstring.split("\n\n")]


def classes(root: Path) -> dict[str, Class]:
    """Every error class of this repository that people may meet, by name: those of the core first."""
    known: dict[str, Class] = {}
    every = list(_classes(root))
    while new := [
        c for c in every if c.name not in known and (c.name in ("SalmuError", "PluginError") or {*c.bases} & {*known})
    ]:
        known |= {c.name: c for c in new}
    return dict(sorted(known.items(), key=lambda item: (item[1].module != errors.__name__, every.index(item[1]))))


def _classes(root: Path) -> Iterator[Class]:
    for folder in ("salmu_core", "plugins/*/salmu_*", "benchmarks/*/salmu_*"):
        for path in sorted(file for top in root.glob(folder) for file in top.rglob("*.py")):
            where = path.relative_to(root).with_suffix("").parts
            module = ".".join(where[where.index(next(w for w in where if w.startswith("salmu_"))) :])
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    yield Class(node.name, (*map(ast.unparse, node.bases),), module, ast.get_docstring(node) or "")


def page(root: Path) -> str:
    """The page."""
    found = classes(root)
    rows = [
        (code(name), f"{_exit_code(found, name)}", _kept(found, name), *map(_sentences, one.paragraphs[:2]))
        for name, one in found.items()
    ]
    header = ("class", "exit code", "in a plugin's code", "when", "what to do")
    others = table(("raised in a plugin's code", "is"), OTHERS)
    return "\n".join([MARK, "# Errors\n", INTRODUCTION, others, CLASSES, table(header, rows)])


def _nearest(found: dict[str, Class], name: str) -> type[BaseException]:
    """The class itself, or the first of its bases that is of the core's errors."""
    while not hasattr(errors, name):
        name = next(base for base in found[name].bases if base in found)
    kind: type[BaseException] = getattr(errors, name)
    return kind


def _exit_code(found: dict[str, Class], name: str) -> int | str:
    return getattr(_nearest(found, name), "exit_code", "-")


def _kept(found: dict[str, Class], name: str) -> str:
    kind = _nearest(found, name)
    return "nothing is kept" if errors.is_machines(kind.__new__(kind)) else "a verdict"


def _sentences(text: str) -> str:
    return "".join(part if i % 2 else prose(part) for i, part in enumerate(_spans(text)))


def _spans(text: str) -> Iterator[str]:
    """Plain text and code spans in turn."""
    for i, part in enumerate(text.replace("``", "`").split("`")):
        yield f"`{part}`" if i % 2 else part

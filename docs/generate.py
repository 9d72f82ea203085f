"""Writes ``docs/reference/`` from what is installed: ``uv run python docs/generate.py``; ``--check`` only compares.

Everything there but ``api.md`` is written here and committed, and a test holds the committed pages against the code.
Nothing here needs torch.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tomllib
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from attacks_page import page as attacks_page
from beyond_page import beyond, trials
from error_page import page as errors_page
from laboratory_page import laboratory
from packaging.requirements import Requirement
from plugin_pages import attacks, departures, method, methods_index, metrics
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from readme_table import first_table
from reliability_page import reliability
from tables import MARK, code, prose, table
from tuned_page import tuned_table
from typer.main import get_command

from salmu_core.cli import app
from salmu_core.contract import hookspecs
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.plugins.zoo import Shelf, Zoo, discover
from salmu_core.testing.conformance.rules import RULES

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MEASURED = ROOT / "benchmarks" / "laboratory"
DATA = MEASURED / "mini.json"
#: What the loops of faults found, and the fuzzing of readers; either may not have been made yet.
FAULTS = (DOCS / "data" / "reliability.json", DOCS / "data" / "reliability-fuzz.json")
BEYOND = (MEASURED / "beyond.json", MEASURED / "beyond_tried.tsv")
ATTACKED = MEASURED / "attacks.json"
TUNED = MEASURED / "tuned.tsv"
LABORATORY = (MEASURED / "study.json", MEASURED / "metrics.json", ATTACKED)
#: An example of each hook in this repository.
EXAMPLES = {
    "salmu_methods": "plugins/direct-similarity/salmu_direct_similarity.py",
    "salmu_metrics": "plugins/protocol-metrics/salmu_protocol_metrics/__init__.py",
    "salmu_benchmarks": "benchmarks/mini/salmu_mini/__init__.py",
    "salmu_attacks": "plugins/attacks/salmu_attacks/bare_value.py",
}
#: The hook's part of an example that is too long to be shown whole.
FROM = {"salmu_metrics": ("ASSOC_STR = ", "ACS = "), "salmu_benchmarks": ("@hookimpl", None)}


# The command line


def cli() -> str:
    """Every command with its arguments and options, recursively."""
    found = list(commands(get_command(app), "salmu"))
    rows = [(f"[`{path}`](#{path.replace(' ', '-')})", _first(c)) for path, c in found[1:]]
    parts = [MARK, "# Command line\n", table(("command", ""), rows), ENVIRONMENT]
    return "\n".join([*parts, *(_command(path, c) for path, c in found)])


ENVIRONMENT = """\
Environment variables: `SALMU_CACHE` (where built benchmarks and [what can be computed again](../cache.md) lie, by
default the user's cache folder), `SALMU_CACHE_LIMIT` (how large that folder may become, as `50GB`), `SALMU_THREADS` (as
`--threads`), `SALMU_PLUGINS` (as `--only-plugins`), `SALMU_DEBUG=1` (errors come with their traceback).

Exit codes: 0, all that was asked for is there and whole; 1, something is missing, damaged or failed, or a plugin can't
be used and `--all` was given; 2, the request makes no sense; 130, stopped by Ctrl-C or SIGTERM. [Errors](../errors.md)
says what each one means and what to do.
"""


def commands(command: Any, path: str) -> Iterable[tuple[str, Any]]:
    """A command and all below it, with their full names."""
    yield path, command
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        child = command.get_command(None, name)
        if not child.hidden:
            yield from commands(child, f"{path} {name}")


def _first(command: Any) -> str:
    return prose(inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " "))


def _choices_of(parameter: Any) -> str:
    """What a parameter may be, where that is one of a few words; typer and click keep it in different places."""
    words = getattr(getattr(parameter, "type", None), "choices", None)
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if words is None and isinstance(annotation, type) and issubclass(annotation, Enum):
        words = [member.value for member in annotation]
    return f" One of {', '.join(map(code, words))}." if words else ""


def _command(path: str, command: Any) -> str:
    usage = [path]
    rows = []
    for parameter in command.params:
        argument = parameter.param_type_name == "argument"
        name = (parameter.metavar or parameter.name.upper()) if argument else ""
        if argument:
            shown = name.strip("[].") if parameter.metavar else name
            usage.append(name if parameter.required else f"[{shown}]" + ("..." if parameter.nargs == -1 else ""))
            rows.append((code(shown), (parameter.help or "") + _choices_of(parameter)))
            continue
        flags = ", ".join(map(code, [*parameter.opts, *parameter.secondary_opts]))
        if not parameter.is_flag:
            flags += f" {code(parameter.metavar or parameter.name.upper())}"
        default = parameter.default
        note = _choices_of(parameter)
        note += f" [default: {default}]" if parameter.show_default and default not in (None, False) else ""
        note += f" [environment: `{parameter.envvar}`]" if parameter.envvar else ""
        rows.append((flags, (parameter.help or "") + note))
    if any(p.param_type_name == "option" for p in command.params):
        usage.insert(1, "[OPTION]...")
    if hasattr(command, "commands"):
        usage.append("COMMAND")
    parts = [f"## {path}\n", inspect.cleandoc(command.help or "") + "\n", f"```text\n{' '.join(usage)}\n```\n"]
    return "\n".join([*parts, table(("", ""), rows)] if rows else parts)


# Hooks


def hooks() -> str:
    """The hooks: signature, docstring, what their items must be, and an example."""
    parts = [MARK, "# Hooks\n", HOOKS_INTRODUCTION]
    for name, kind in HOOKS.items():
        hook = getattr(hookspecs, name)
        file = EXAMPLES[name]
        source = (ROOT / file).read_text(encoding="utf-8")
        if name in FROM:
            start, end = FROM[name]
            example = source[source.index(start) : source.index(end) if end else None]
            if "@hookimpl" not in example:
                example = example.rstrip() + "\n\n\n" + source[source.index("@hookimpl") :]
        else:
            example = source[source.index("def ") :]
        parts += [
            f"## {name}\n",
            f"```text\n{name}() -> list[{kind.__name__}]\n```\n",
            f"{inspect.getdoc(hook)}\n",
            f"Each item is {'an' if kind.__name__[0] in 'AEIOU' else 'a'} `{kind.__name__}`: {_summary(kind)}\n",
            table(("field", "default", "meaning"), _fields(kind)),
            f"An example, from `{file}`:\n\n```{{code-block}} python\n{example.strip()}\n```\n",
        ]
    return "\n".join(parts)


HOOKS_INTRODUCTION = """\
A plugin is a module that an entry point of the group `salmu` names. It implements one or more of these hooks, each
marked with `@hookimpl` from `salmu_core`. A hook takes no arguments and returns a list of declarations; none is called
for its side effects. A plugin that can't be imported, misspells a hook, forgets the mark, or declares a name that is
taken becomes a row in `salmu plugins` with the reason, and the others work on.

What a plugin declares is remembered in the cache, as JSON, until a file of its distribution or of the core changes, or
another distribution is installed or removed. Listings, tables and pages are made from that and import no plugin, so
import what you need at the top of the module, torch too. What a declaration says should follow from those files alone,
not from the clock, the device or the environment. A plugin that can't be used is never remembered; `salmu check`,
`salmu doctor` and `salmu run --all` import every plugin.
"""


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("``", "`").replace("\n", " ")


def _fields(kind: type[BaseModel]) -> list[tuple[str, str, str]]:
    return [
        (code(name), _default(field), (field.description or "").replace("``", "`") + _choices(field))
        for name, field in kind.model_fields.items()
    ]


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return ""
    return f" One of {', '.join(map(code, get_args(field.annotation)))}."


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory_takes_validated_data:
        return "by the others"
    default = field.get_default(call_default_factory=True)
    return code(default.__name__ if isinstance(default, type) else json.dumps(default))


# Rules of conformance


def rules() -> str:
    """What `salmu check` looks at: each rule, and what to do where it is broken."""
    parts = [MARK, "# Rules of conformance\n", RULES_INTRODUCTION]
    for kind in ("method", "metric", "attack", "benchmark"):
        rows = [(code(rule.name), rule.demand, rule.remedy) for rule in RULES[kind]]
        parts += [f"## For {kind}s\n", table(("rule", "what must hold", "where it doesn't"), rows)]
    return "\n".join(parts)


RULES_INTRODUCTION = """\
What `salmu check` and `check_method`, `check_metric`, `check_attack` or `check_benchmark` try. [Check a
plugin](../plugins/checks.md) shows how they are run, and how to declare a rule that can't be kept.
"""


def filled(path: Path, content: str) -> str:
    """A page that is written by hand but for one table."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(TABLE[0])
    _, end, after = rest.partition(TABLE[1])
    return f"{before}{begin}\n{content}{end}{after}"


#: What such a table stands between.
TABLE = ("<!-- table -->", "<!-- /table -->")


def _installed_first() -> set[str]:
    """Methods that come with `pip install salmu`."""
    project = tomllib.loads((ROOT / "plugins" / "salmu" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {Requirement(each).name.removeprefix("salmu-") for each in project["dependencies"]}


def pages() -> dict[Path, str]:
    """Every generated page."""
    zoo = discover()
    ours = _of_this_repository(zoo)
    data = json.loads(DATA.read_text(encoding="utf-8"))
    folder = DOCS / "reference"
    found = {
        folder / "cli.md": cli(),
        folder / "hooks.md": hooks(),
        folder / "metrics.md": metrics(ours),
        folder / "attacks.md": attacks(ours),
        folder / "rules.md": rules(),
        folder / "departures.md": departures(ours),
        folder / "methods" / "index.md": methods_index(ours, data),
        ROOT / "README.md": filled(ROOT / "README.md", first_table(_found(LABORATORY[0]), _installed_first())),
        DOCS / "tune.md": filled(DOCS / "tune.md", tuned_table(TUNED)),
        DOCS / "attacks.md": attacks_page(_found(ATTACKED)),
        DOCS / "beyond.md": beyond(_found(BEYOND[0]), trials(BEYOND[1].read_text(encoding="utf-8").splitlines())),
        DOCS / "errors.md": errors_page(ROOT),
        DOCS / "laboratory.md": laboratory(*map(_found, LABORATORY)),
        DOCS / "reliability.md": reliability(*(_found(path) for path in FAULTS)),
    }
    for name, declared in ours.methods.items():
        found[folder / "methods" / f"{name}.md"] = method(declared, ours, data)
    return {path: text.rstrip("\n") + "\n" for path, text in found.items()}


def _found(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _of_this_repository(zoo: Zoo) -> Zoo:
    """Without plugins that only happen to be installed."""
    known = {f"salmu-{folder.name}" for folder in (ROOT / "plugins").iterdir()}
    methods = {name: d for name, d in zoo.methods.items() if d.distribution in known}
    found = {name: d for name, d in zoo.metrics.items() if d.distribution in known}
    brought = {name: d for name, d in zoo.attacks.items() if d.distribution in known}
    return Zoo(Shelf("method", methods), Shelf("metric", found), zoo.benchmarks, Shelf("attack", brought))


def stale() -> list[str]:
    """Pages that are not what would be written, or that nothing writes any more."""
    wanted = pages()
    present = {p for p in (DOCS / "reference").rglob("*.md") if p.read_text(encoding="utf-8").startswith(MARK)}
    wrong = [p for p, text in wanted.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    return sorted(str(p.relative_to(ROOT)) for p in {*wrong, *(present - wanted.keys())})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    if parser.parse_args().check:
        names = stale()
        print("\n".join(f"stale: {name}" for name in names) or "all pages are as they should be")
        return bool(names)
    wanted = pages()
    for name in stale():
        path = ROOT / name
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What records say of metrics: of installed ones what they declare, of others what a test makes up."""

from functools import cache

from salmu_core.contract.kinds import PROJECT
from salmu_core.judge.targets import columns
from salmu_core.plugins import zoo
from salmu_core.store.records import MetricDeclaration, MetricEntry

#: Captions among which ranks are.
GALLERY = 2001


def installed():
    """The metrics; looked for again only where others are installed than before."""
    return _of(tuple(sorted((point.name, point.value) for point in zoo.entry_points(group=PROJECT))))


@cache
def _of(points):
    return zoo.discover().metrics


def declaration(name, **fields):
    """Of an installed metric; or, with these fields, of a made-up one."""
    known = installed()
    if name in known and not fields:
        return MetricDeclaration.of(known[name].card)
    made_up = {"summary": "Made up.", "pillar": "efficacy", "target": "clean", "role": "other", "reads": ("forget",)}
    return MetricDeclaration(**{**made_up, "columns": (name,), "bounds": None, "primary": False, **fields})


def entry(name, declared=None, **fields):
    """An entry of a metric, with ranks if its role has them."""
    declared = declared or declaration(name)
    ranked = {"gallery": GALLERY} if declared.role in ("leak", "holdout") and "error" not in fields else {}
    return MetricEntry(declared=declared, plugin="p 1", code_hash="c", **{**ranked, **fields})


def entries(chance=None, **made_up):
    """Of all installed metrics, and of some that are made up: name -> fields of its declaration."""
    found = {
        name: entry(name, chance={c: x for c, x in (chance or {}).items() if c in declared.card.columns})
        for name, declared in installed().items()
    }
    return found | {name: entry(name, declaration(name, **fields)) for name, fields in made_up.items()}


def shown(**made_up):
    """Their figures, as a table has them."""
    return columns([entries(**made_up)])

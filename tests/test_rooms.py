"""The plan of the house: who imports whom, how long a file and a function may be, how much the core may hold.

Imports are read from the source, those of `TYPE_CHECKING` and of function bodies too: they tie files just the same.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
#: From top to bottom: a room imports from rooms below it only.
ROOMS = (
    *("cli", "testing", "study", "attack", "show", "run", "score", "judge", "benchmark", "train", "clip"),
    *("store", "plugins", "losses", "disk", "contract", "machine", "errors"),
)
FILE, FUNCTION = 300, 80
#: Lines of the whole core. More is a decision: change the number in the commit that needs it.
BUDGET = 33_700
#: The longest chain of rooms, and of files, that import one another.
FLOORS, CHAIN = 8, 19


def read(path):
    return path.read_text(encoding="utf-8")


def name(path):
    return ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")


def room(module):
    return module.split(".")[1] if "." in module else module


FILES = {name(path): path for path in (HOME / "salmu_core").rglob("*.py")}


def imports(module):
    """The files of the core that a file names, wherever in it that is."""
    for node in ast.walk(ast.parse(read(FILES[module]))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} says `from {'.' * node.level}`: give the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (n if n in FILES else n.rpartition(".")[0] for n in names if n.split(".")[0] == "salmu_core")


#: All but the face, which hands on names of the contract, and `python -m salmu_core`.
GRAPH = {m: set(imports(m)) for m in FILES if m not in ("salmu_core", "salmu_core.__main__")}


def chain(graph):
    """The longest way down."""
    longest = {}
    for node in TopologicalSorter(graph).static_order():
        longest[node] = (*max((longest[below] for below in graph.get(node, ())), key=len, default=()), node)
    return max(longest.values(), key=len)[::-1]


def test_a_room_imports_from_rooms_below_it_only():
    rank = {room: number for number, room in enumerate(ROOMS)}
    assert {room(module) for module in GRAPH} == rank.keys()
    edges = [
        (rank[room(module)], rank.get(room(t), -1), f"{module} -> {t}") for module, ts in GRAPH.items() for t in ts
    ]
    climbs = sorted(text for above, below, text in edges if below < above)
    assert not climbs, "\n".join(climbs)


def test_files_import_one_another_in_no_circle_and_no_long_chain():
    rooms = {r: {room(t) for m, ts in GRAPH.items() if room(m) == r for t in ts} - {r} for r in ROOMS}
    for graph, most in ((GRAPH, CHAIN), (rooms, FLOORS)):
        try:
            longest = chain(graph)
        except CycleError as error:
            pytest.fail(f"a circle: {' -> '.join(error.args[1])}")
        assert len(longest) <= most, f"{len(longest)}: {' -> '.join(longest)}"


def test_files_and_functions_are_short():
    long = []
    paths = [path for top in ("salmu_core", "plugins", "benchmarks") for path in (HOME / top).rglob("*.py")]
    for path in paths:
        where, text = path.relative_to(HOME), read(path)
        parts = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [f"{where}: {len(text.splitlines())} lines"] * (
            len(text.splitlines()) > FILE and "tests" not in where.parts
        )
        sizes = [(node.name, node.end_lineno - node.lineno + 1) for node in parts]
        long += [f"{where}: {function} has {size} lines" for function, size in sizes if size > FUNCTION]
    assert not long, "\n".join(sorted(long))


def test_the_door_of_a_room_says_its_one_job_and_nothing_else():
    """What a package imports, a listing of methods would load."""
    faces = ("salmu_core", "salmu_core.cli", "salmu_core.testing", "salmu_core.testing.conformance")
    doors = {m: read(path) for m, path in FILES.items() if path.name == "__init__.py" and m not in faces}
    wrong = [
        m for m, text in doors.items() if [type(n) for n in ast.parse(text).body] != [ast.Expr] or text.count("\n") > 2
    ]
    assert not wrong, wrong


def test_the_core_keeps_to_its_budget():
    sizes = Counter()
    for module, path in FILES.items():
        sizes[room(module)] += len(read(path).splitlines())
    assert sizes.total() <= BUDGET, ", ".join(f"{room} {size:,}" for room, size in sizes.most_common())


@pytest.mark.parametrize("face", ["salmu_core", "salmu_core.testing"])
def test_public_names_are_sorted_and_there(face):
    module = import_module(face)
    assert module.__all__ == sorted(module.__all__) and all(hasattr(module, name) for name in module.__all__)

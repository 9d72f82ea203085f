"""Runs the Python blocks of pages, read from ``todo.json`` of a folder: page by page, each in a folder of its own."""

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path

from salmu_core.testing import write_tiny_benchmark


def run(page: dict, folder: Path, tiny: Path) -> str | None:
    """Run a page's blocks in one namespace; returns what went wrong."""
    folder.mkdir()
    os.chdir(folder)
    for name, text in page["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.path.insert(0, str(folder))
    namespace = {"__name__": "page", "tiny": tiny}
    try:
        for line, text in page["blocks"]:
            # Empty lines above, so that a traceback names the page's own line.
            exec(compile("\n" * (line - 1) + text, page["page"], "exec"), namespace)
    except BaseException:
        return traceback.format_exc()
    finally:
        sys.path.remove(str(folder))
    return None


def main() -> None:
    work = Path(sys.argv[1])
    tiny = write_tiny_benchmark(work / "tiny")
    problems = {}
    for number, page in enumerate(json.loads((work / "todo.json").read_text())):
        with contextlib.redirect_stdout(sys.stderr):
            problem = run(page, work / str(number), tiny)
        if problem:
            problems[page["page"]] = problem
    print(json.dumps(problems))


if __name__ == "__main__":
    main()

"""The command: light to import, and wrong arguments are sentences."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from salmu_dataset.cli import app
from typer.testing import CliRunner

from salmu_core import SalmuError, UsageError


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if isinstance(result.exception, SalmuError):
        raise result.exception
    return result.exit_code, result.output


def test_the_group_is_an_entry_point_of_the_core() -> None:
    (entry,) = entry_points(group="salmu.commands", name="dataset")
    assert entry.load() is app


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, salmu_dataset.cli; heavy = {'torch', 'numpy', 'faker', 'pyarrow', 'PIL', 'pydantic', 'schwifty'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_build_says_what_it_made_and_status_how_far_it_is(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    small = ["--identities", "3", "--countries", "2", "--pairs", "12", "--candidates", "14", "--size", "64"]
    code, text = _run("build", "--out", out, *small, "--processes", "1", "--stage", "pii")
    assert code == 0 and "done up to stage pii" in text
    assert [line.split()[1] for line in _run("status", out)[1].splitlines()] == ["done"] * 4 + ["0"] * 3
    code, text = _run("build", "--out", out, *small, "--processes", "1")
    assert code == 0 and "portraits kept of" in text and "forget 18" in text
    assert _run("status", out)[1].count("done") == 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--identities", "1"], "--identities = 1: input should be greater than or equal to 3"),
        (["--identities", "9", "--countries", "80"], "--countries 80: there are 1 to 65"),
        (["--identities", "9", "--countries", "3", "--pairs", "2"], "--pairs is too small"),
        (["--portrait-option", "steps"], "--portrait-option 'steps': write KEY=VALUE"),
        (["--stage", "portrait"], "There is no stage 'portrait'"),
        (["--portraits", "painted"], "There is no portrait source 'painted'"),
        (["--captions", "sung"], "There is no caption source 'sung'"),
    ],
)
def test_wrong_arguments_are_sentences(tmp_path: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _run("build", "--out", str(tmp_path / "out"), *arguments)
    assert not (tmp_path / "out").exists()


def test_status_of_nothing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no data set"):
        _run("status", str(tmp_path))

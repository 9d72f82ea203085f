"""Who is handed which piece, by processes that do nothing but write down what they were given."""

import errno
import json
import os
import time
from functools import partial

import numpy as np
import pytest

from salmu_core.errors import MachineError, SalmuError, UsageError
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RunKey
from salmu_core.study.member import Local, forks
from salmu_core.study.pieces import Piece
from salmu_core.study.processes import Crew, spread
from salmu_core.study.saying import Telling

pytestmark = pytest.mark.skipif(not forks("cpu"), reason="needs a fork")
A, B, C = (RunKey("mini", "x", "0" * 64, 1, seed) for seed in range(3))
FIRST, SECOND = (RunKey("mini", "x", "0" * 64, 1, 0, request=f"{n}of2-ab") for n in (1, 2))


def pieces(phase, *targets):
    return [Piece(phase, "mini", target, (("probe", "0"),) if phase == "attacking" else ()) for target in targets]


class Told(Reporter):
    def __init__(self):
        self.said, self.ended = [], []

    def say(self, text):
        self.said.append(text)

    def end(self, note):
        self.said.append(note)


@pytest.fixture
def done(tmp_path):
    """Have pieces done; returns (process, piece, begun, ended) of each in the order of their ends."""
    log = tmp_path / "log"

    def begin(act, reporter):
        def do(piece):
            begun = time.monotonic()
            act(piece, reporter)
            with log.open("a") as file:
                file.write(json.dumps([os.getpid(), str(piece), begun, time.monotonic()]) + "\n")

        return do

    def work(queue, count, act=lambda piece, reporter: time.sleep(0.05), told=None):
        Crew(queue, partial(Local, partial(begin, act), "fork"), told or Told()).work(count)
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()]

    return work


class Listed(Telling):
    """Keeps its lines."""

    every = 5.0

    def __init__(self):
        self.lines = []

    def send(self, line):
        self.lines.append(line)


def test_of_many_steps_the_first_and_the_last_are_told_and_of_all_else_every_word():
    told = Listed()
    told.begin("x", "unlearning")
    for number in range(1, 101):
        told.step(number, 100, {"loss": np.float32(0.5)})
    told.end("over")
    told.say("a" * 100_000)
    *heard, (_, said) = map(json.loads, told.lines)
    steps = [["step", number, 100, {"loss": 0.5}] for number in (1, 100)]
    assert heard == [["begin", "x", "unlearning"], *steps, ["end", "over"]] and said == "a" * (1 << 16)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_piece_is_done_once_and_no_method_runs_beside_holdouts(done, count):
    queue = [*pieces("unlearning", A, B, C), *pieces("scoring", "clean", A, B, C), *pieces("attacking", A, "clean")]
    log = done(queue, count)
    assert sorted(name for _, name, *_ in log) == sorted(map(str, queue))
    assert len({process for process, *_ in log}) <= count
    for process in {process for process, *_ in log}:
        phases = [name.partition(" ")[0] for pid, name, *_ in log if pid == process]
        assert phases == sorted(phases, key=["unlearning", "scoring", "attacking"].index)
    begun, ended = ({name: row[i] for _, name, *row in log} for i in (0, 1))
    for target in (A, B, C):
        assert ended[f"unlearning {target}"] <= begun[f"scoring {target}"]
    assert ended[f"scoring {A}"] <= begun[f"attacking {A}"] and ended["scoring Clean"] <= begun["attacking Clean"]


def test_requests_of_a_sequence_wait_for_each_other_and_others_do_not(done):
    queue = [*pieces("unlearning", FIRST, SECOND, B), *pieces("scoring", FIRST, SECOND, B)]
    log = {name: (begun, ended) for _, name, begun, ended in done(queue, 2)}
    assert log[f"unlearning {FIRST}"][1] <= log[f"unlearning {SECOND}"][0]
    assert log[f"unlearning {B}"][0] < log[f"unlearning {FIRST}"][1]
    assert log[f"unlearning {SECOND}"][1] <= log[f"scoring {FIRST}"][0]


def test_one_that_dies_is_replaced_by_one_that_has_opened_nothing(done, tmp_path):
    def act(piece, reporter):
        time.sleep(0.05 if piece.target == A else 0.2)
        if piece.phase == "unlearning" and piece.target == B and not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            os._exit(3)

    told = Told()
    log = done([*pieces("unlearning", A, B), *pieces("scoring", A, B)], 2, act, told)
    process = {name: pid for pid, name, *_ in log}
    assert len(told.said) == 1 and "exit code 3 while unlearning x b1 s1" in told.said[0]
    assert process[f"scoring {A}"] != process[f"unlearning {B}"] and len(log) == 4


def test_an_error_of_one_stops_all_at_once_as_what_it_is(done):
    def act(piece, reporter):
        if piece.target == B:
            raise UsageError("no such thing")
        time.sleep(30)

    begun = time.monotonic()
    with pytest.raises(SalmuError, match="no such thing") as caught:
        done(pieces("unlearning", A, B), 2, act)
    assert caught.value.exit_code == 2 and "in act" in "".join(caught.value.__notes__)
    assert time.monotonic() - begun < 5


def test_what_is_printed_is_said_and_what_nobody_caught_is_shown(done):
    def act(piece, reporter):
        print(f"at {piece}")
        reporter.say("told")
        if piece.target == B:
            raise GeneratorExit("nobody catches this")

    told = Told()
    log = done(pieces("scoring", A, B, C), 1, act, told)
    assert told.said[:2] == [f"at scoring {A}", "told"] and any("nobody catches this" in s for s in told.said)
    why = f"scoring {B}: not done: a process ended with exit code 1, 3 times. Nothing is kept of it"
    assert len([text for text in told.said if text.startswith(why)]) == 1
    assert [name for _, name, *_ in log] == [f"scoring {A}", f"scoring {C}"]


def test_a_run_that_three_processes_died_of_is_handed_out_once_more_for_its_result_to_be_written(done, tmp_path):
    def act(piece, reporter):
        if piece.target == B:
            with (tmp_path / "verdicts").open("a") as file:
                file.write(f"{piece.verdict}\n")
            if not piece.verdict:
                os._exit(7)

    log = done(pieces("unlearning", A, B), 1, act)
    verdict = "3 processes ended while they made it; the last one ended with exit code 7"
    assert (tmp_path / "verdicts").read_text().splitlines() == ["", "", "", verdict]
    assert sorted(name for _, name, *_ in log) == [f"unlearning {A}", f"unlearning {B}"]


def test_a_line_without_end_ends_nobody(done):
    told = Told()
    log = done(pieces("scoring", A), 1, lambda piece, reporter: print("\U0001f600" * 1_000_000), told)
    assert [name for _, name, *_ in log] == [f"scoring {A}"] and all(len(text) < 100_000 for text in told.said)


def test_after_an_attack_nothing_is_made_or_judged_in_the_same_process(done, tmp_path):
    def act(piece, reporter):
        if piece.phase == "scoring" and piece.target == B:
            time.sleep(0.3)
            if not (tmp_path / "once").exists():
                (tmp_path / "once").touch()
                os.kill(os.getpid(), 9)

    log = done([*pieces("scoring", A, B), *pieces("attacking", A, B)], 2, act)
    process = {name: pid for pid, name, *_ in log}
    assert len(log) == 4 and process[f"scoring {B}"] != process[f"attacking {A}"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MachineError("No space left")])
def test_a_disk_that_takes_nothing_ends_a_study_after_a_while_and_nothing_else_does(done, error):
    def act(piece, reporter):
        raise error

    queue, told = pieces("unlearning", A, B, C, FIRST), Told()
    if isinstance(error, MachineError):  # what plugins' code met: the others are tried
        with pytest.raises(FileNotFoundError):  # there is no log
            done(queue, 1, act, told)
        assert len(told.said) == 4
    else:
        with pytest.raises(MachineError, match=r"3 results in a row can't be written: .*No space left"):
            done(queue, 1, act, told)
        assert len(told.said) == 3


def test_an_accelerator_is_one_processs_and_nobody_waits_for_pieces():
    assert spread(None, "cuda", 9) == 1 and spread(3, "cuda", 9) == 3 and spread(5, "cpu", 2) == 2
    assert spread(None, "cpu", 9) >= 1 and not forks("cuda")

"""Environment variables are input: one that makes no sense is a sentence with its name."""

import pytest

from salmu_core.errors import UsageError
from salmu_core.run.accelerator import precision_of
from salmu_core.run.launch import check_flags, place

WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (*WHOLE, "LOCAL_WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)


def put(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, (0, 1)),
        (WHOLE, (1, 2)),
        ({"RANK": "0"}, (0, 1)),
        ({"PMI_SIZE": "1"}, (0, 1)),
        ({"LOCAL_RANK": "-1"}, (0, 1)),
    ],
)
def test_a_launcher_is_understood(monkeypatch, variables, found):
    put(monkeypatch, variables)
    assert place() == found


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RANK": ""}, "RANK is '', and should be a whole number"),
        ({"RANK": "captain"}, "RANK is 'captain'"),
        ({"WORLD_SIZE": "²"}, "WORLD_SIZE is '²'"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is set, and RANK is not"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE is set, and LOCAL_RANK is not"),
        ({**WHOLE, "MASTER_ADDR": ""}, "MASTER_ADDR is not"),
        ({**WHOLE, "RANK": "5"}, "RANK is 5, and WORLD_SIZE 2"),
        ({"RANK": "1"}, "RANK is 1, and WORLD_SIZE 1"),
        ({"PMI_SIZE": "4"}, "PMI_SIZE is 4, as MPI sets it"),
        ({"OMPI_COMM_WORLD_SIZE": "two"}, "OMPI_COMM_WORLD_SIZE is 'two'"),
    ],
)
def test_what_makes_no_sense_is_named(monkeypatch, variables, words):
    put(monkeypatch, variables)
    with pytest.raises(UsageError, match=words):
        place()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "true", "ACCELERATE_USE_DEEPSPEED is set"),
        ("ACCELERATE_USE_FSDP", "1", "ACCELERATE_USE_FSDP is set"),
        ("ACCELERATE_USE_CPU", "perhaps", "ACCELERATE_USE_CPU is 'perhaps'"),
    ],
)
def test_switches_of_accelerate(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=words):
        check_flags()
    monkeypatch.setenv(name, "False")
    check_flags()


def test_a_precision_nobody_has_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "int4")
    with pytest.raises(UsageError, match="ACCELERATE_MIXED_PRECISION is 'int4'"):
        precision_of(None)
    assert precision_of("bf16") == "bf16" and precision_of("no") == ""


@pytest.mark.parametrize(
    "variables", [{"RANK": "captain"}, {"LOCAL_RANK": "0"}, {"ACCELERATE_USE_DEEPSPEED": "true"}, {"PMI_SIZE": "2"}]
)
def test_it_is_a_sentence_before_anything_begins(salmu, tiny, variables):
    done = salmu("run", "finetuning", "--benchmark", tiny, **variables)
    assert done.returncode == 2 and next(iter(variables)) in done.stderr and "Traceback" not in done.stderr
    assert not list(salmu.folder.iterdir())

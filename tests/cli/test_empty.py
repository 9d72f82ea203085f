"""What is empty was given: a variable of a script that is not set is no wish for the default."""

import pytest

from salmu_core.cli.entry import refuse_empty
from salmu_core.errors import UsageError


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["run", "--all", "--benchmark", ""], "for --benchmark"),
        (["run", "--all", "--benchmark="], "for --benchmark"),
        (["evaluate", "model", "--output", "  "], "for --output"),
        (["run", "--config", ""], "for --config"),
        (["run", "a", "--from", ""], "for --from"),
        (["run", "a", "--seed", ""], "for --seed"),
        (["run", "a", "--set", ""], "for --set"),
        (["evaluate", ""], "An argument"),
        (["results", "--world", ""], "for --world"),
        (["somebodys-command", "-o", ""], "for -o"),
    ],
)
def test_an_empty_word_is_refused_of_every_command(words, what):
    with pytest.raises(UsageError, match=f"{what} is empty"):
        refuse_empty(words)


@pytest.mark.parametrize(
    "words", [[], ["run", "--all"], ["run", "--set", "a.notice="], ["run", "--set=a.notice=", "--json"]]
)
def test_what_has_a_value_is_not(words):
    refuse_empty(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--benchmark", ""], "--benchmark is empty"),
        (["--retain", "a.tar", "--retain-share", "0"], "a share above 0"),
        (["--mixed-precision", "int4"], "a precision no, bf16 or fp16"),
    ],
)
def test_it_is_a_sentence_and_nothing_begins(salmu, words, said):
    done = salmu("run", "finetuning", *words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(salmu.folder.iterdir())

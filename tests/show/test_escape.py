"""Texts that nobody vouches for: what they hold is seen, and nothing else."""

import json
import shlex
import subprocess

import pytest

from salmu_core.show.escape import LINE, shell, visible, visible_json, visible_lines

HIDDEN = {
    "\x00": r"\x00", "\x07": r"\x07", "\x1b": r"\x1b", "\x7f": r"\x7f", "\x85": r"\x85", "\x9b": r"\x9b",
    "\u034f": r"\u034f", "\u061c": r"\u061c", "\xad": r"\xad", "\u200b": r"\u200b", "\u200f": r"\u200f",
    "\u202e": r"\u202e", "\u2066": r"\u2066", "\u3164": r"\u3164", "\udcff": r"\udcff",
    "\u2028": r"\u2028", "\ufeff": r"\ufeff", "\U000e0041": r"\U000e0041",
}  # fmt: skip


@pytest.mark.parametrize(("character", "escape"), HIDDEN.items())
def test_what_does_not_show_is_an_escape(character, escape):
    assert visible(f"a{character}b") == visible_lines(f"a{character}b") == f"a{escape}b"
    assert json.loads(visible_json({character: [character]})) == {character: [character]}
    assert visible_json(character).isprintable()


@pytest.mark.parametrize("text", ["Zoë Müller", "東京 \u3000", "a\u00a0b", "עברית", "😀", "\\x1b", "[red]"])
def test_what_shows_stays(text):
    assert visible(text) == visible_lines(text) == text and visible_json(text) == f'"{text}"'.replace("\\", "\\\\")


def test_a_line_is_one_line_and_ends():
    assert visible("a\r\nb\tc") == "a  b c" and visible_lines("a\r\nb\tc\rd") == "a\r\nb\tc\\rd"
    assert len(visible("x" * 10**6)) == LINE + 3 and len(visible("\x00" * 10**6)) == LINE + 3


def test_a_command_can_be_given_again_whatever_is_in_it():
    words = ["plain", "two words", "it's", "esc\x1b[31m", "new\nline", "quo'te\x07\\", "no text \udcff\udce9", "東京"]
    line = shell(words)
    assert visible(line) == line
    out = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    assert out.split(b"\0")[:-1] == [word.encode("utf-8", "surrogateescape") for word in words]
    assert shell(words[:3]) == shlex.join(words[:3])

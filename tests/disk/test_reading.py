"""What is no file, no text, no JSON or no TOML is refused in a sentence with its path, and keeps nobody waiting."""

import json
import os
import tomllib

import pytest

from salmu_core.disk import reading
from salmu_core.errors import FileError, MissingFileError

DEEP = reading.DEPTH + 1


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, -2.5e3, true, null, "\\ud83d\\ude00 \\u00e9 \\n"], "b": {}}', "[]", '"x"', "0", "[" * 100 + "]" * 100],
)
def test_json_is_read_as_the_standard_library_reads_it(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    value = json.loads(text)
    assert reading.read_json(tmp_path / "a.json", type(value)) == value


@pytest.mark.parametrize(
    "text, reason",
    [
        (b"", "Expecting value"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "1e999"),
        (b'{"a": -1e999}', "-1e999"),
        (b'{"a": %s}' % (b"1" * 6_000), "digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["\\udfff\\ud800"]}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": ' * DEEP + b"1" + b"}" * DEEP, "deep"),
        (b"[" * 100_000 + b"]" * 100_000, "deep"),
        (b"[1, 2]", "list"),
        (b'{"a": 1} x', "Extra data"),
    ],
)
def test_json_that_is_none_is_refused(tmp_path, text, reason):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(FileError, match=f"^{path} can't be read: .*") as caught:
        reading.read_json(path)
    assert reason in caught.value.reason and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text, reason",
    [
        (b"a = 1\na = 2", "overwrite"),
        (b"a = ", "Invalid value"),
        (b"a = nan", "nan"),
        (b"a = [1.0, -inf]", "inf"),
        (b"a = '\xff'", "UTF-8"),
        (b"a = " + b"[" * DEEP + b"]" * DEEP, "deep"),
        (b"a = " + b"[" * 30_000 + b"]" * 30_000, "deep"),
        (b"a = " + b"{a=" * 9_000 + b"1" + b"}" * 9_000, "deep"),
        (b".".join([b"a"] * 30_000) + b" = 1", "deep"),
        (b"#" * 100_000, "larger"),
    ],
)
def test_toml_that_is_none_is_refused(tmp_path, text, reason):
    path = tmp_path / "a.toml"
    path.write_bytes(text)
    with pytest.raises(FileError, match=f"^{path} can't be read: .*") as caught:
        reading.read_toml(path)
    assert reason in caught.value.reason


def test_toml_is_read_as_the_standard_library_reads_it(tmp_path):
    text = "a = 1\n[b]\nc = [1.5, 'x']\nd = 2026-01-01\n"
    (tmp_path / "a.toml").write_text(text)
    assert reading.read_toml(tmp_path / "a.toml") == tomllib.loads(text)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, reason in [
        (tmp_path / "pipe", "pipe"),
        (tmp_path / "loop", "symbolic"),
        (tmp_path, "folder"),
        ("/dev/zero", "device"),
        (tmp_path / "a\0b", "null"),
        (tmp_path / ("a" * 300), "long"),
    ]:
        with pytest.raises(FileError) as caught:
            reading.read_bytes(type(tmp_path)(path))
        assert reason in caught.value.reason and not isinstance(caught.value, MissingFileError)
    with pytest.raises(MissingFileError):
        reading.read_bytes(tmp_path / "none")


def test_a_file_has_a_size_at_most(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 11)
    assert reading.read_text(path, 11) == "x" * 11
    with pytest.raises(FileError, match="larger than the 10 bytes"):
        reading.read_bytes(path, 10)
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(FileError, match="larger"):
        reading.read_bytes(path)


def test_a_name_that_is_no_utf8_is_a_name(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    path.write_text("{}")
    assert reading.read_json(path) == {}


def test_many_values_are_refused_before_they_are_made(tmp_path):
    with pytest.raises(ValueError, match="values"):
        reading.parse_json("[" + "0," * reading.VALUES + "0]")

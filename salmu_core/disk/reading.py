"""The one door for files that somebody else may have written: regular, of bounded size, and what they claim to be.

JSON is read as its standard has it: no NaN or Infinity, no number that a float can't hold, no key twice, no half of a
surrogate pair. Whatever is wrong becomes a `FileError`, which says which file and why.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from salmu_core.errors import FileError, MissingFileError, UsageError

#: Bytes a file may have: by far more than any was seen to have, and less than hurts.
LIMIT, RECORD, SMALL, TOML = 128 << 20, 64 << 20, 1 << 20, 64 << 10
#: How deeply values may lie in one another, how many a document may have, and how many digits a whole number.
DEPTH, VALUES, DIGITS = 100, 10_000_000, 100


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device is refused, and can't keep anybody waiting.

    Raises:
        FileError: It is missing, can't be opened, or is something else than a file.
    """
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise MissingFileError(path) from error
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        raise FileError(path, _reason(error)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise FileError(path, "it is a folder" if stat.S_ISDIR(mode) else "it is no file, but a pipe, a socket or a device")


def check_name(folder: Path) -> None:
    """Refuse a folder that the libraries which read weights and tables can't open anything in.

    Raises:
        UsageError: Its path is no UTF-8.
    """
    path = str(folder.absolute())
    if re.search("[\ud800-\udfff]", path):
        raise UsageError(f"{path} is no UTF-8, and weights and tables can't be read there: give it another name.")


def read_bytes(path: Path, limit: int = LIMIT) -> bytes:
    """All of a file.

    Args:
        limit: How many bytes it may have.

    Raises:
        FileError: It can't be read, or is larger.
    """
    try:
        with open_file(path) as file:
            content = file.read(limit + 1)
    except (OSError, MemoryError) as error:
        raise FileError(path, _reason(error)) from error
    if len(content) > limit:
        raise FileError(path, f"it is larger than the {limit:,} bytes that such a file may have")
    return content


def read_text(path: Path, limit: int = LIMIT) -> str:
    """All of a file in UTF-8.

    Raises:
        FileError: It can't be read, is larger than ``limit`` bytes, or is no UTF-8.
    """
    return _decode(path, read_bytes(path, limit))


def read_json(path: Path, kind: type = dict, limit: int = LIMIT, *, nan_is_null: bool = False) -> Any:
    """The value of a JSON file.

    Args:
        kind: What its outermost value must be.
        limit: How many bytes it may have.
        nan_is_null: Whether NaN is null, as those mean it who write data frames.

    Raises:
        FileError: It can't be read, or is no JSON of this kind.
    """
    try:
        value = parse_json(read_text(path, limit), nan_is_null=nan_is_null)
    except ValueError as error:
        raise FileError(path, f"it is not valid JSON: {error}") from error
    if not isinstance(value, kind):
        raise FileError(path, f"it holds a {type(value).__name__}, not a {kind.__name__}")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        FileError: It can't be read, or is no TOML.
    """
    text = read_text(path, TOML)
    try:
        # tomllib takes time that grows with the square of a dotted key's length.
        if any(part.count(".") > 10 * DEPTH for part in re.split("[\n,=]", text)):
            raise RecursionError
        table = tomllib.loads(text, parse_float=_finite)
        _check_nesting(table)
    except RecursionError:
        raise FileError(path, f"it is not valid TOML: {_DEEP}") from None
    except ValueError as error:
        raise FileError(path, f"it is not valid TOML: {error}") from error
    return table


def parse_json(text: str, *, nan_is_null: bool = False) -> Any:
    """The value of a JSON text, in which NaN may stand for null.

    Raises:
        ValueError: It is none, or is nested too deeply or too long.
    """
    if sum(map(text.count, ",[{")) > VALUES:
        raise ValueError(f"it has more than {VALUES:,} values")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_table,
            parse_constant=(lambda name: None if name == "NaN" else _constant(name)) if nan_is_null else _constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError(_DEEP) from None
    _check_nesting(value)
    if "\\ud" in text or "\\uD" in text or not (text.isascii() or re.search("[\ud800-\udfff]", text) is None):
        _check_surrogates(value)
    return value


_NESTS = frozenset((dict, list))
_DEEP = f"its values lie more than {DEPTH} deep in one another"


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(path, f"it is no UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r:.100} is there twice")
    return table


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text:.40} is not finite")
    return number


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"the number {text:.40}... has more than {DIGITS} digits")
    return int(text)


def _check_nesting(value: Any) -> None:
    """Go through a value layer by layer, so that no depth can exhaust the stack."""
    layer = [value]
    for _ in range(DEPTH):
        nested = [parts for parts in map(_parts, layer) if not _NESTS.isdisjoint(map(type, parts))]
        layer = [part for parts in nested for part in parts if type(part) in _NESTS]
        if not layer:
            return
    raise ValueError(_DEEP)


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _check_surrogates(value: Any) -> None:
    if isinstance(value, dict | list):
        for part in [*value, *_parts(value)]:
            _check_surrogates(part)
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise ValueError(f"the text {value!r:.100} has half of a surrogate pair")

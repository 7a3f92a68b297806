"""Changing a document: one value after the other, each for another one of its kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tiketi_runtime.contracts.draw_file import DrawFile


def document(file: DrawFile) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.model_dump_json(by_alias=True))
    return content


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return "00" * 32
    if isinstance(value, int):
        return value + 1
    if value.endswith("Z") and value[4] == "-":
        return value.replace("2026-1", "2027-1")
    if set(value) <= set("0123456789abcdef"):
        return value[:-2] + ("00" if value[-2:] != "00" else "01")
    return f"{value}x"


def paths(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Of every single value in a document."""
    if isinstance(content, dict):
        for name in content:
            yield from paths(content[name], (*path, name))
    elif isinstance(content, list):
        for index in range(len(content)):
            yield from paths(content[index], (*path, index))
    else:
        yield path


def changed(content: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(content))
    holder: Any = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = other(holder[path[-1]])
    return copy

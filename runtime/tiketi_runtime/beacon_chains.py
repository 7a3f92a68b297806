"""The file of further beacon chains, read alike by whoever plans, draws or verifies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tiketi_runtime.contracts.beacon import Chain, known_chains


def read_chains(file: Path | None) -> Mapping[str, Chain]:
    """The League of Entropy's chains and those of ``file``, by hash.

    The file is JSON: what a relay answers to ``/info``, or a list of such answers. Raises OSError, or ValueError if it
    is something else; both name the file.
    """
    if file is None:
        return known_chains()
    try:
        infos = json.loads(file.read_text())
        return known_chains(infos if isinstance(infos, list) else [infos])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from error

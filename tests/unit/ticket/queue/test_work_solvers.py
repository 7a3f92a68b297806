"""The page's solver in JavaScript and the crowd's in Python find the same, and the gate takes it.

Needs node; without it the page's solver is not tested here, except in CI, where that is an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tiketi_local.crowd import work as crowd_work
from tiketi_services.ticket.queue.gates.work import solves

MODULE = Path(__file__).resolve().parents[4] / "services" / "tiketi_services" / "web" / "work.js"
needs_node = pytest.mark.skipif(shutil.which("node") is None and "CI" not in os.environ, reason="node is not installed")

random_ = random.Random(1)
CHALLENGES = ["".join(random_.choices("abcXYZ019-_.", k=length)) for length in (0, 1, 54, 55, 56, 63, 64, 65, 119, 250)]
PUZZLES = [(challenge, bits) for challenge in CHALLENGES for bits in (0, 1, 5, 9)] + [(CHALLENGES[-1], 14)]
TEXTS = ["", "abc", *("a" * length for length in range(50, 70)), *("b" * length for length in range(110, 135))]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module under a name that every node takes for what it is."""
    return Path(shutil.copy(MODULE, tmp_path_factory.mktemp("web") / "work.mjs"))


def node(module: Path, script: str, given: Any) -> Any:
    """What ``script`` returns; it sees ``work``, the module, and ``given``."""
    program = (
        f"const work = await import({json.dumps(module.as_uri())});"
        f"const given = {json.dumps(given)};"
        f"console.log(JSON.stringify(await (async () => {{ {script} }})()));"
    )
    command = ["node", "--input-type=module", "--eval", program]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


def solve_all(puzzles: Sequence[tuple[str, int]]) -> list[str]:
    async def all_of_them() -> list[str]:
        return [await crowd_work.solve(*puzzle) for puzzle in puzzles]

    return asyncio.run(all_of_them())


def test_the_crowd_s_solutions_are_taken_and_are_the_smallest() -> None:
    for (challenge, bits), nonce in zip(PUZZLES, solve_all(PUZZLES), strict=True):
        assert solves(challenge, nonce, bits)
        assert not any(solves(challenge, str(smaller), bits) for smaller in range(int(nonce)))


@needs_node
def test_the_page_finds_what_the_crowd_finds(module: Path) -> None:
    script = "return Promise.all(given.map(([challenge, bits]) => work.solve(challenge, bits)));"
    assert node(module, script, PUZZLES) == solve_all(PUZZLES)


@needs_node
def test_the_page_s_hash_is_sha_256(module: Path) -> None:
    expected = [sha256(text.encode()).hexdigest() for text in TEXTS]
    assert node(module, "return given.map(work.sha256);", TEXTS) == expected


@needs_node
def test_a_buyer_who_leaves_stops_the_page_s_search(module: Path) -> None:
    script = """
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 20);
        return work.solve("endless", 32, controller.signal).then(() => "found", (error) => error.name);
    """
    assert node(module, script, None) == "AbortError"

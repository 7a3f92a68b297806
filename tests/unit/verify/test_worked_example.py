"""docs/fairness.md: every command in it says what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
BLOCKS = re.findall(r"^```console\n(.*?)^```$", (DOCS / "fairness.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_the_page_shows_what_the_commands_say(block: str, tmp_path: Path) -> None:
    folder = shutil.copytree(DOCS / "fairness", tmp_path / "fairness")
    commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    shown = re.sub(r"^\$ .*\n", "", block, flags=re.MULTILINE)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(
        ["sh", "-c", "\n".join(commands)], cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert said.stdout == shown, said.stderr


def test_the_page_has_commands() -> None:
    assert len(BLOCKS) == 5

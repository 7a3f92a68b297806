"""A desk to check draws at."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.verify.a_draw import Desk


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """With the service's keys and the test chain."""
    desk = Desk(tmp_path, capsys)
    desk.trust()
    return desk

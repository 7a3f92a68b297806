"""The stores wait for the disk only where durations are measured: elsewhere a slow disk is not the product's."""

from pathlib import Path

import pytest

from tiketi_local import redis
from tiketi_local.site import Site


@pytest.mark.parametrize("waits", [True, False])
def test_stores_wait_for_the_disk_in_a_world_that_measures(
    waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Site.create("one", Path("/checkout"), waits_for_disk=waits)
    site = Site.find("one", Path("/checkout"))
    assert site is not None
    assert ("appendfsync everysec" in redis.configuration(site)) is waits
    assert "appendonly yes" in redis.configuration(site)

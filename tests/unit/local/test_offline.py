"""The embedded world is complete on this machine: none of its processes is told of an address elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tiketi_local import platform
from tiketi_local.part import Part
from tiketi_local.site import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Site.create("one", Path("/checkout"))


def environment(part: Part) -> dict[str, str]:
    """What is set for the service alone."""
    return {name: value for name, value in part.command().environment.items() if name.startswith("TIKETI_")}


@pytest.mark.parametrize(
    "part",
    [platform.auth, platform.ticket, platform.payment, platform.stats, platform.operator],
    ids=lambda p: p.__name__,
)
def test_every_url_that_a_process_is_given_leads_to_this_machine(site: Site, part: Callable[[Site], Part]) -> None:
    words = " ".join(environment(part(site)).values())
    hosts = re.findall(r"[a-z]+://(?:[^@/\s]*@)?([^:/,\s]+)", words)
    assert hosts
    assert set(hosts) <= {"127.0.0.1", "localhost"}


def test_operator_and_ticket_know_the_same_chains_of_beacons(site: Site) -> None:
    told = [
        environment(platform.operator(site))["TIKETI_OPERATOR_BEACON_CHAINS_FILE"],
        environment(platform.ticket(site))["TIKETI_TICKET_BEACON_CHAINS_FILE"],
    ]
    assert told[0] == told[1]

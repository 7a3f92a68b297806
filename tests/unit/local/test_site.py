"""What a world remembers: its folder, its ports, its passwords."""

from pathlib import Path

import pytest

from tiketi_local.errors import WorldError
from tiketi_local.site import Site, directory_of, locked


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_site_is_found_again_as_it_was() -> None:
    made = Site.create("one", Path("/checkout"))
    found = Site.find("one", Path("/checkout"))
    assert found is not None
    assert found.memory == made.memory
    assert found.secret("redis/admin") == made.secret("redis/admin")


def test_there_is_no_site_before_it_is_made() -> None:
    assert Site.find("one", Path("/checkout")) is None


def test_worlds_of_other_names_and_checkouts_have_folders_ports_and_passwords_of_their_own() -> None:
    sites = [Site.create("one", Path("/a")), Site.create("two", Path("/a")), Site.create("one", Path("/b"))]
    assert len({site.directory for site in sites}) == 3
    assert len({site.memory.base_port for site in sites}) == 3
    assert len({site.secret("x") for site in sites}) == 3


def test_only_the_owner_may_read_what_is_remembered() -> None:
    site = Site.create("one", Path("/a"))
    assert (site.directory / "world.json").stat().st_mode & 0o077 == 0


def test_what_an_interrupted_down_has_left_does_not_reach_the_next_world() -> None:
    left = directory_of("one", Path("/a")) / "postgres" / "data"
    left.mkdir(parents=True)
    site = Site.create("one", Path("/a"))
    assert [path.name for path in site.directory.iterdir()] == ["world.json"]


def test_a_damaged_memory_names_the_folder_to_remove() -> None:
    site = Site.create("one", Path("/a"))
    (site.directory / "world.json").write_text("{", encoding="utf-8")
    with pytest.raises(WorldError, match=str(site.directory)):
        Site.find("one", Path("/a"))


def test_a_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    directory_of("one", Path("/a")).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError, match="belongs to another user"):
        Site.create("one", Path("/a"))


async def test_the_lock_leaves_no_file_and_can_be_taken_again(tmp_path: Path) -> None:
    directory = tmp_path / "world"
    for _ in range(2):
        async with locked(directory):
            assert list(directory.iterdir()) == []

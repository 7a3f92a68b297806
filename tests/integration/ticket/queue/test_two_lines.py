"""A buyer who is admitted in one line after another, a presale and then the public sale, has one session: the last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.integration.ticket.queue.lines import ANNA, Scene, begin

from tiketi_runtime.contracts.identity import PUBLIC, Line
from tiketi_services.ticket.queue.domain import Standing
from tiketi_services.ticket.queue.repository import Session, Spent

FANS = Line("fans")


@pytest.fixture
async def presale(scene: Scene) -> Scene:
    """The same event's presale, in which Anna shops; ``scene`` is its public line."""
    await begin(scene.redis, scene.terms.event, FANS, PUBLIC)
    scene.change(lines=(FANS, PUBLIC))
    presale = Scene(scene.redis, scene.lines, replace(scene.terms, line=FANS))
    await shop(presale, "of-the-presale")
    return presale


async def shop(line: Scene, session: str) -> None:
    await line.join(ANNA)
    await line.serve()
    assert (await line.claim(ANNA, session)).standing is Standing.ADMITTED


async def session(line: Scene, name: str) -> Session | None:
    return await line.lines.session(line.terms.event, line.terms.line, ANNA, name)


async def test_leaving_the_presale_does_not_end_the_public_session(scene: Scene, presale: Scene) -> None:
    await shop(scene, "of-the-sale")
    await presale.leave(ANNA)
    live = await session(scene, "of-the-sale")
    assert live is not None
    assert live.ends is not None


async def test_a_public_session_does_not_revive_that_of_the_presale(scene: Scene, presale: Scene) -> None:
    await presale.leave(ANNA)
    await shop(scene, "of-the-sale")
    assert await session(presale, "of-the-presale") == Session(None)
    with pytest.raises(Spent):
        await presale.claim(ANNA)


async def test_leaving_the_line_in_which_one_shops_ends_the_session(scene: Scene, presale: Scene) -> None:
    assert await presale.leave(ANNA)
    assert await session(presale, "of-the-presale") == Session(None)
    assert (await scene.state()).active == 0

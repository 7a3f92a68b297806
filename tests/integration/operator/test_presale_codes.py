"""Presale codes from an organiser's Secret into the sale, by the real operator with no right but those it was given."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.operator.stage import PLATFORM, Stage, until

from tiketi_local import kubernetes
from tiketi_local.world import World
from tiketi_runtime.contracts.identity import Line, event_id
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import CodesSheet, CodeUse, SaleSheet

pytestmark = pytest.mark.usefixtures("operator")

FANS = Line("fans")
RED, BLUE = "RED-BALLOON", "BLUE-BALLOON"
Allow = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
def operator_settings() -> dict[str, str]:
    return {"TIKETI_OPERATOR_LONGEST_SLEEP": "1"}


@pytest.fixture
def allow(world: World, stage: Stage) -> Allow:
    """Let the operator get one Secret, as an organiser does."""

    async def run(secret: str) -> None:
        role = ["--verb=get", "--resource=secrets", f"--resource-name={secret}"]
        await kubectl(world, "create", "role", secret, "-n", stage.namespace, *role)
        binding = [f"--role={secret}", f"--serviceaccount={PLATFORM}:tiketi-operator"]
        await kubectl(world, "create", "rolebinding", secret, "-n", stage.namespace, *binding)

    return run


async def kubectl(world: World, *words: str) -> None:
    child = await asyncio.create_subprocess_exec(
        kubernetes.program("kubectl"), f"--kubeconfig={world.kubeconfig}", *words
    )
    assert await child.wait() == 0


async def write(stage: Stage, secret: str, *codes: str) -> None:
    await stage.secret(secret, {"codes": "\n".join(codes).encode()})


async def presale(stage: Stage, secret: str, name: str = "", ends_in: float = 1800, **changes: Any) -> str:
    """An event with a presale for those who have a code of the Secret."""
    now = datetime.now(UTC)
    fans = {
        "name": FANS,
        "opensAt": (now - timedelta(hours=1)).isoformat(),
        "closesAt": (now + timedelta(seconds=ends_in)).isoformat(),
        "codesSecretRef": {"name": secret},
        **changes,
    }
    return await stage.event(name, sale={"presales": [fans]})


async def sheet_of(stage: Stage, name: str) -> SaleSheet | None:
    stored = await stage.redis.get(EventKeys(event_id(stage.namespace, name)).sheet)
    return None if stored is None else SaleSheet.model_validate_json(stored)


async def codes_of(stage: Stage, name: str) -> CodesSheet | None:
    sale = await sheet_of(stage, name)
    return None if sale is None else sale.lines[0].codes


async def until_codes(stage: Stage, name: str, *codes: str) -> CodesSheet:
    """Wait until the sale goes by exactly these codes, and find their digests stored."""
    event = event_id(stage.namespace, name)
    book = CodeBook.of(event, FANS, codes)

    async def are_named() -> CodesSheet | None:
        found = await codes_of(stage, name)
        return found if found is not None and found.version == book.version else None

    found: CodesSheet = await until(are_named, f"{name} goes by {len(codes)} codes")
    assert found.count == len(codes)
    assert await stage.redis.get(EventKeys(event).line(FANS).codes) == book.to_bytes()
    return found


async def test_a_presale_goes_on_by_itself_once_what_the_condition_asks_for_is_done(world: World, stage: Stage) -> None:
    name = await presale(stage, "step-by-step")
    forbidden = await stage.until_condition(name, "Stalled", "True", "PresaleCodesForbidden")
    assert "spec.sale.presales[fans].codesSecretRef" in forbidden["message"]
    assert await stage.keys(name) == set()
    _, _, permission = forbidden["message"].partition("Allow it: ")
    for command in permission.split(" && "):
        program, *words = shlex.split(command)
        assert program == "kubectl"
        await kubectl(world, *words)
    missing = await stage.until_condition(name, "Stalled", "True", "PresaleCodesNotFound")
    assert "there is no Secret step-by-step" in missing["message"]
    await write(stage, "step-by-step", RED, BLUE)
    assert (await until_codes(stage, name, RED, BLUE)).use is CodeUse.ONCE
    await stage.until_condition(name, "Ready", "True")
    assert (await stage.condition(name, "Stalled"))["status"] == "False"


async def test_a_changed_secret_changes_the_sale(stage: Stage, allow: Allow) -> None:
    await allow("changing")
    await write(stage, "changing", RED)
    name = await presale(stage, "changing", codeUse="PerAccount")
    assert (await until_codes(stage, name, RED)).use is CodeUse.PER_ACCOUNT
    await write(stage, "changing", RED, BLUE)
    await until_codes(stage, name, RED, BLUE)
    await write(stage, "changing", BLUE)
    await until_codes(stage, name, BLUE)


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        ({"codes": "SHORT\n"}, "PresaleCodeLength", "line 1"),
        ({"codes": "\n\n"}, "PresaleCodesEmpty", "has no code"),
        ({"other": RED}, "PresaleCodesKeyMissing", "It has other."),
        ({}, "PresaleCodesKeyMissing", "It is empty."),
        ({"codes": b"\xff\xfe\x00"}, "PresaleCodesUnreadable", "UTF-8"),
    ],
)
async def test_a_secret_that_holds_no_codes_says_what_it_lacks(
    stage: Stage, allow: Allow, content: dict[str, str | bytes], reason: str, said: str
) -> None:
    secret = f"lacking-{reason.lower()}-{len(content)}"
    await allow(secret)
    data = {key: (text.encode() if isinstance(text, str) else text) for key, text in content.items()}
    await stage.secret(secret, data)
    name = await presale(stage, secret)
    stalled = await stage.until_condition(name, "Stalled", "True", reason)
    assert said in stalled["message"]
    await write(stage, secret, RED)
    await until_codes(stage, name, RED)


async def test_a_secret_that_goes_in_mid_presale_leaves_the_sale_as_it_was(stage: Stage, allow: Allow) -> None:
    await allow("fleeting-codes")
    await write(stage, "fleeting-codes", RED)
    name = await presale(stage, "fleeting-codes")
    await until_codes(stage, name, RED)
    before = await sheet_of(stage, name)
    await stage.cluster.delete("v1", "Secret", "fleeting-codes", stage.namespace)
    await stage.until_condition(name, "Stalled", "True", "PresaleCodesNotFound")
    assert await sheet_of(stage, name) == before


async def test_a_presale_that_is_over_needs_no_secret(stage: Stage) -> None:
    name = await presale(stage, "never-made", ends_in=-60)
    await stage.until_condition(name, "Ready", "True")
    assert await codes_of(stage, name) == CodesSheet(use=CodeUse.ONCE, count=0, version="")


async def test_no_code_is_shown_anywhere_but_in_its_secret(stage: Stage, allow: Allow) -> None:
    await allow("whispered")
    await write(stage, "whispered", RED, "TINY")
    name = await presale(stage, "whispered")
    await stage.until_condition(name, "Stalled", "True", "PresaleCodeLength")
    await stage.until_told(name, "PresaleCodeLength")
    shown = str([await stage.get(name), *await stage.cluster.list_all("v1", "Event", stage.namespace)])
    assert (RED in shown, "TINY" in shown) == (False, False)

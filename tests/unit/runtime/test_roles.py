"""Routes that need a role in the namespace they are about."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, Depends

from tiketi_runtime.security import Grant, Identity, RoleNeeded
from tiketi_runtime.web import bearer_identity, requires_role

GATE = Identity("g", (Grant("gate", ("demo", "arena")), Grant("buyer", ("*",))))
SRE = Identity("s", (Grant("sre", ("*",)),))


@pytest.mark.parametrize(
    ("identity", "roles", "namespace"),
    [(GATE, ["gate"], "demo"), (GATE, ["organiser", "gate"], "arena"), (SRE, ["sre"], "anywhere")],
)
async def test_who_has_one_of_the_roles_passes(identity: Identity, roles: list[str], namespace: str) -> None:
    assert await requires_role(*roles)(namespace, identity) is identity


@pytest.mark.parametrize(
    ("identity", "roles", "namespace"),
    [
        (GATE, ["gate"], "other"),
        (GATE, ["gate"], "*"),
        (GATE, ["gate"], "dem"),
        (GATE, ["organiser"], "demo"),
        (SRE, ["gate"], "demo"),
        (Identity("old"), ["gate"], "demo"),
    ],
)
async def test_who_has_none_is_told_which(identity: Identity, roles: list[str], namespace: str) -> None:
    with pytest.raises(RoleNeeded) as refused:
        await requires_role(*roles)(namespace, identity)
    assert (refused.value.status, refused.value.code) == (403, "role-needed")
    assert refused.value.members == {"roles": roles, "namespace": namespace}
    assert namespace in refused.value.detail


def test_the_framework_reads_namespace_from_the_path_and_identity_from_the_token() -> None:
    router = APIRouter()

    @router.get("/events/{namespace}", dependencies=[Depends(requires_role("gate"))])
    async def route() -> None:
        """Nothing."""

    (dependency,) = router.routes[0].dependant.dependencies  # type: ignore[attr-defined]
    assert [field.name for field in dependency.path_params] == ["namespace"]
    assert [inner.call for inner in dependency.dependencies] == [bearer_identity]

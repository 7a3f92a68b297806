"""Presale codes from organisers' Secrets. The operator may read those it was given one by one, and no other."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiketi_operator.manifests.metadata import MANAGER
from tiketi_operator.sale import Unsellable
from tiketi_operator.settings import PlatformSettings
from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.presale_codes import LONGEST, MOST, SHORTEST, CodeBook, normalised
from tiketi_runtime.contracts.ticket_event import Presale, SecretKeyRef, TicketEvent
from tiketi_runtime.errors import Forbidden
from tiketi_runtime.kubernetes import Cluster, Manifest


class UnreadCodes(Unsellable):
    """The codes of a presale cannot be had. Nobody tells the operator when that is mended: it has to look again."""


@dataclass(frozen=True)
class _Reading:
    """Codes as they stood in one version of a Secret."""

    ref: SecretKeyRef
    resource_version: str
    book: CodeBook


class CodeSecrets:
    """The Secrets that presales name."""

    def __init__(self, cluster: Cluster, settings: PlatformSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._readings: dict[tuple[EventId, Line], _Reading] = {}
        """What was read last: digests of 100,000 codes take a quarter of a second."""

    async def read(self, event: TicketEvent, now: datetime) -> Mapping[Line, CodeBook]:
        """The codes of every presale that asks for one; those of a presale that is over may be gone.

        Raises UnreadCodes, ApiUnavailable.
        """
        books: dict[Line, CodeBook] = {}
        for presale in event.spec.sale.presales:
            if presale.codes_secret_ref is None:
                continue
            try:
                books[Line(presale.name)] = await self._book(event, presale, presale.codes_secret_ref)
            except UnreadCodes:
                if now < presale.closes_at:
                    raise
        return books

    def forget(self, event: EventId) -> None:
        """The event is gone."""
        for key in [key for key in self._readings if key[0] == event]:
            del self._readings[key]

    async def _book(self, event: TicketEvent, presale: Presale, ref: SecretKeyRef) -> CodeBook:
        field = f"spec.sale.presales[{presale.name}].codesSecretRef"
        secret = await self._secret(event, ref, field)
        version = secret["metadata"]["resourceVersion"]
        line = Line(presale.name)
        known = self._readings.get((event.id, line))
        if known is None or (known.ref, known.resource_version) != (ref, version):
            codes = codes_in(_text(secret, ref, field), f"Key {ref.key} of Secret {ref.name}")
            known = _Reading(ref, version, CodeBook.of(event.id, line, codes))
            self._readings[event.id, line] = known
        return known.book

    async def _secret(self, event: TicketEvent, ref: SecretKeyRef, field: str) -> Manifest:
        try:
            secret = await self._cluster.get("v1", "Secret", ref.name, event.namespace)
        except Forbidden:
            raise UnreadCodes(
                "PresaleCodesForbidden",
                f"{field}: the operator may not read Secret {ref.name}. Allow it: {self._permission(event, ref)}",
            ) from None
        if secret is None:
            raise UnreadCodes(
                "PresaleCodesNotFound",
                f"{field}.name: there is no Secret {ref.name} in namespace {event.namespace}. Create it with one code "
                f"a line in its key {ref.key}; the event then goes on by itself.",
            )
        return secret

    def _permission(self, event: TicketEvent, ref: SecretKeyRef) -> str:
        """What an organiser types to let the operator read this Secret and no other."""
        role = f"tiketi-{ref.name}"
        return (
            f"kubectl create role {role} -n {event.namespace} --verb=get --resource=secrets "
            f"--resource-name={ref.name} && kubectl create rolebinding {role} -n {event.namespace} --role={role} "
            f"--serviceaccount={self._settings.namespace}:{MANAGER}"
        )


def codes_in(text: str, where: str) -> Sequence[str]:
    """The codes of a text, one a line; lines without any do not count. Never says a code: conditions are public.

    Raises UnreadCodes, naming ``where`` they stand.
    """
    lines = {number: normalised(line) for number, line in enumerate(text.split("\n"), 1)}
    codes = {number: code for number, code in lines.items() if code}
    for number, code in codes.items():
        if not SHORTEST <= len(code) <= LONGEST:
            raise UnreadCodes(
                "PresaleCodeLength",
                f"{where}: the code in line {number} has {len(code)} characters. Give it {SHORTEST} to {LONGEST}: "
                "shorter ones can be guessed.",
            )
    if not codes:
        raise UnreadCodes("PresaleCodesEmpty", f"{where} has no code. Put one code in each line.")
    if len(codes) > MOST:
        raise UnreadCodes(
            "TooManyPresaleCodes", f"{where} has {len(codes)} codes; {MOST} are taken. Split the presale."
        )
    return list(codes.values())


def _text(secret: Manifest, ref: SecretKeyRef, field: str) -> str:
    data = secret.get("data") or {}
    if ref.key not in data:
        found = f"It has {', '.join(sorted(data))}." if data else "It is empty."
        raise UnreadCodes(
            "PresaleCodesKeyMissing",
            f"{field}.key: Secret {ref.name} has no key {ref.key}. {found} Add the key, or name another.",
        )
    try:
        return base64.b64decode(data[ref.key]).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadCodes(
            "PresaleCodesUnreadable",
            f"{field}.key: key {ref.key} of Secret {ref.name} is not UTF-8 text. Write one code a line.",
        ) from None

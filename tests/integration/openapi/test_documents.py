"""Whatever is sent to ticket and payment: no answer is a 5xx, and each is one that the OpenAPI document names.

schemathesis makes requests from the documents, right ones and wrong ones, by a seed: the same ones each time.
`make test-openapi SEED=7 EXAMPLES=500` makes others, and more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.integration.openapi.subjects import Json, bearer, known_values, with_values
from tests.integration.refunds.house import House

CHECKS: Final = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection"
)
CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
SEED: Final = os.environ.get("TIKETI_OPENAPI_SEED", "1")
EXAMPLES: Final = os.environ.get("TIKETI_OPENAPI_EXAMPLES", "10")
"""Made for each operation in the last phase."""


@pytest.fixture(scope="module")
async def values(house: House) -> Json:
    return await known_values(house)


@pytest.mark.parametrize("signed_in", [True, False], ids=["signed-in", "anonymous"])
@pytest.mark.parametrize("service", ["ticket", "payment"])
async def test_every_answer_is_one_that_the_document_names(
    house: House, values: Json, service: str, signed_in: bool, tmp_path: Path
) -> None:
    url = _url(house, service)
    document = await _document(house, url)
    phases = "examples,coverage,fuzzing" if signed_in else "coverage"
    words = ["--header", f"Authorization: {bearer(house)}"] if signed_in else []
    status, told = await _run(tmp_path, with_values(document, values), url, "--phases", phases, *words)
    assert status == 0, told


async def test_an_answer_that_the_document_does_not_name_is_noticed(house: House, values: Json, tmp_path: Path) -> None:
    url = _url(house, "ticket")
    document = await _document(house, url)
    path = "/events/{namespace}/{name}"
    document["paths"] = {path: document["paths"][path]}
    del document["paths"][path]["get"]["responses"]["404"]
    status, told = await _run(tmp_path, with_values(document, values), url, "--phases", "examples")
    assert status == 1
    assert "ndocumented" in told, told


def _url(house: House, service: str) -> str:
    return house.service.url if service == "ticket" else house.payment_url


async def _document(house: House, url: str) -> Json:
    async with house.service.http.get(f"{url}/openapi.json") as answer:
        document: Json = await answer.json()
        return document


async def _run(folder: Path, document: str, url: str, *words: str) -> tuple[int | None, str]:
    """Exit code of schemathesis, and what it tells."""
    described = folder / "openapi.json"
    described.write_text(document)
    run = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "--no-color"],
        *["run", str(described), "--url", url, "--checks", CHECKS, "--seed", SEED, "--max-examples", EXAMPLES],
        *["--continue-on-failure", *words],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    told, _ = await run.communicate()
    return run.returncode, told.decode()

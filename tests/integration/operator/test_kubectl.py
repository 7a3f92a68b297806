"""``kubectl tiketi plan``: the plan at any instant, from the objects as they are."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import yaml
from tests.integration.operator.stage import Stage

from tiketi_local.beacon import Simulator, write_chains
from tiketi_runtime.contracts.beacon import round_after
from tiketi_runtime.contracts.ticket_event import TicketEvent


async def ask(kubeconfig: Path, *words: str) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tiketi_operator.kubectl", "plan", *words, "--kubeconfig", str(kubeconfig)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate()
    return child.returncode or 0, output.decode(), errors.decode()


async def test_the_plan_of_another_time_is_shown_without_changing_anything(kubeconfig: Path, stage: Stage) -> None:
    name = await stage.event(capacity={"lane": "Dedicated", "minReplicas": 1, "peakReplicas": 7, "maxReplicas": 9})
    event = TicketEvent.from_body(await stage.get(name) or {})
    opens = event.spec.sale.opens_at
    for moment, replicas in ((opens - timedelta(minutes=20), 0), (opens, 7)):
        code, output, _ = await ask(kubeconfig, name, "-n", stage.namespace, "--at", moment.isoformat())
        assert code == 0
        objects = {manifest["kind"]: manifest for manifest in reversed(list(yaml.safe_load_all(output)))}
        assert objects["Deployment"]["spec"]["replicas"] == replicas
        assert "&id" not in output
    assert await stage.children(name) == []


async def test_questions_without_an_answer_fail_with_the_reason(kubeconfig: Path, stage: Stage) -> None:
    code, _, errors = await ask(kubeconfig, "nobody", "-n", stage.namespace)
    assert (code, errors) == (1, f"error: there is no TicketEvent nobody in namespace {stage.namespace}\n")
    name = await stage.event(queuePolicyRef={"name": "nowhere"})
    code, _, errors = await ask(kubeconfig, name, "-n", stage.namespace)
    assert code == 1
    assert "spec.queuePolicyRef.name" in errors
    code, _, errors = await ask(kubeconfig, name, "--at", "2027-03-01T19:55:00")
    assert code == 2
    assert "no instant" in errors


async def test_a_beacon_chain_of_ones_own_is_described_as_the_operator_has_it(
    kubeconfig: Path, stage: Stage, tmp_path: Path
) -> None:
    simulator, file = Simulator(bytes(range(32))), tmp_path / "chains.json"
    write_chains(simulator, file)
    name = await stage.event()
    event = TicketEvent.from_body(await stage.get(name) or {})
    moment = event.spec.sale.opens_at - timedelta(seconds=90)
    beacon = {"chain": simulator.chain.hash, "round": round_after(simulator.chain, moment)}
    lottery = {"drawBefore": "2m", "beacon": beacon}
    await stage.policy("by-lot", queueingMethod="lottery", prequeue={"opensBefore": "10m"}, lottery=lottery)
    name = await stage.event(queuePolicyRef={"name": "by-lot"})
    question = [name, "-n", stage.namespace]

    code, _, errors = await ask(kubeconfig, *question)
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.endswith("describe it, as the operator does: --chains FILE.\n")
    code, output, errors = await ask(kubeconfig, *question, "--chains", str(file))
    assert (code, errors) == (0, "")
    assert output.startswith(f"# {stage.namespace}/{name} at ")

    missing = tmp_path / "missing.json"
    assert await ask(kubeconfig, *question, "--chains", str(missing)) == (
        1, "", f"error: {missing}: No such file or directory\n"
    )  # fmt: skip
    file.write_text("[{}]")
    code, _, errors = await ask(kubeconfig, *question, "--chains", str(file))
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"error: {file}: ")

"""What operator and stats may do, asked of a real API server that was given our RBAC."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml
from tests.contract.test_gitops import kubectl

from tiketi_local.kubernetes import PLATFORM_NAMESPACE, SERVICE_ACCOUNTS

ORGANISERS = "demo"
CHILDREN = (
    "apps deployments",
    "autoscaling horizontalpodautoscalers",
    "core services",
    "networking.istio.io destinationrules",
    "networking.istio.io envoyfilters",
    "networking.istio.io virtualservices",
    "policy poddisruptionbudgets",
)
EVERYTHING = (
    *CHILDREN,
    "admissionregistration.k8s.io validatingwebhookconfigurations",
    "apiextensions.k8s.io customresourcedefinitions",
    "core configmaps",
    "core namespaces",
    "core nodes",
    "core pods",
    "core pods/exec",
    "core secrets",
    "core serviceaccounts",
    "core serviceaccounts/token",
    "rbac.authorization.k8s.io clusterroles",
    "rbac.authorization.k8s.io rolebindings",
    "tiketi.dev queuepolicies",
    "tiketi.dev ticketevents",
    "tiketi.dev ticketevents/status",
)
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")

Question = tuple[str, str, str]
"""Verb, "group resource[/subresource]", namespace."""


async def allowed(kubeconfig: Path, process: str, questions: Iterable[Question]) -> set[Question]:
    """Those of the questions that the API server answers with yes for the process's service account."""
    asked = sorted(questions)
    given = yaml.safe_dump_all([review(process, *question) for question in asked])
    show = "--output=jsonpath={.status.allowed}{'\\n'}"
    answers = await kubectl(f"--kubeconfig={kubeconfig}", "create", show, "--filename=-", given=given)
    return {question for question, answer in zip(asked, answers.split(), strict=True) if answer == "true"}


def review(process: str, verb: str, what: str, namespace: str) -> dict[str, object]:
    group, _, resource = what.partition(" ")
    resource, _, subresource = resource.partition("/")
    attributes = {
        "verb": verb,
        "group": "" if group == "core" else group,
        "resource": resource,
        "subresource": subresource,
        "namespace": namespace,
    }
    spec = {
        "user": f"system:serviceaccount:{PLATFORM_NAMESPACE}:{SERVICE_ACCOUNTS[process]}",
        "groups": ["system:authenticated", "system:serviceaccounts"],
        "resourceAttributes": attributes,
    }
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def every(verbs: Iterable[str], resources: Iterable[str], namespace: str) -> set[Question]:
    return {(verb, resource, namespace) for verb in verbs for resource in resources}


OPERATOR_IN_ITS_NAMESPACE = every((*READ, "create", "patch", "delete"), CHILDREN, PLATFORM_NAMESPACE) | every(
    ["list"], ["discovery.k8s.io endpointslices"], PLATFORM_NAMESPACE
)
OPERATOR_AT_ORGANISERS = (
    every((*READ, "patch"), ["tiketi.dev ticketevents"], ORGANISERS)
    | every(READ, ["tiketi.dev queuepolicies"], ORGANISERS)
    | every(["patch"], ["tiketi.dev ticketevents/status"], ORGANISERS)
    | every(["list", "watch"], CHILDREN, ORGANISERS)
    | every(["list"], ["core nodes"], ORGANISERS)
)


async def test_the_operator_may_do_what_it_does(kubeconfig: Path) -> None:
    needed = OPERATOR_IN_ITS_NAMESPACE | OPERATOR_AT_ORGANISERS | every(["create"], ["core events"], ORGANISERS)
    assert await allowed(kubeconfig, "operator", needed) == needed


async def test_the_operator_may_do_nothing_else_to_organisers(kubeconfig: Path) -> None:
    assert await allowed(kubeconfig, "operator", every((*READ, *WRITE), EVERYTHING, ORGANISERS)) == (
        OPERATOR_AT_ORGANISERS
    )


async def test_the_operator_reads_no_secret_and_gives_no_right_in_its_own_namespace(kubeconfig: Path) -> None:
    others = {what for what in EVERYTHING if not what.startswith("tiketi.dev")} - {*CHILDREN, "core nodes"}
    assert await allowed(kubeconfig, "operator", every((*READ, *WRITE), others, PLATFORM_NAMESPACE)) == set()


async def test_stats_may_write_the_status_of_events_and_nothing_else(kubeconfig: Path) -> None:
    questions = every((*READ, *WRITE), EVERYTHING, ORGANISERS) | every((*READ, *WRITE), EVERYTHING, PLATFORM_NAMESPACE)
    assert await allowed(kubeconfig, "stats", questions) == every(
        ["patch"], ["tiketi.dev ticketevents/status"], ORGANISERS
    ) | every(["patch"], ["tiketi.dev ticketevents/status"], PLATFORM_NAMESPACE)

"""The deletion guard as the platform's chart renders it, on an API server: whom it refuses, what it says, who passes.

As the tests of the API server these run on a real one too, with ``KUBE_TEST_URL``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from cozystack.api.names import NO_DELETE_LABEL
from support.apiserver import Answer, Api, Obj, config_map, crd
from support.packages import PLATFORM_RELEASE, Charts, Helm, platform_chart, platform_values
from support.secured import Person, secured

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
NAME = "cozystack-no-delete-guardrail"
LABELS = {NO_DELETE_LABEL: "true"}
WHAT_ELSE = (
    f"ValidatingAdmissionPolicy '{NAME}' with binding '{NAME}' denied request: the platform needs it; cozypkg teardown removes "
    "the whole platform. To delete this object alone, take its label off first: kubectl label "
)
OFF = " platform.cozystack.io/no-delete-"
PASS = (
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
    "system:serviceaccount:cozy-fluxcd:flux",
    "system:serviceaccount:cozy-system:cozystack",
)
REFUSED = (
    "somebody",
    "system:serviceaccount:cozy-system:cozystack-migrations",
    "system:serviceaccount:cozy-system:cozystack-prune",
    "system:serviceaccount:cozy-system:cozystack-hand-back",
    "system:serviceaccount:cozy-system:cozystack-api",
)


@pytest.fixture(scope="module")
def guard(helm: Helm, charts: Charts) -> tuple[Obj, Obj]:
    """Policy and binding, as the chart renders them by default."""
    found = helm.render(platform_chart(charts, "default"), PLATFORM_RELEASE, platform_values())
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    policy, binding = (found.of_kind(kind)[NAME] for kind in kinds)
    return policy, binding


@dataclass(slots=True)
class Guarded:
    """A namespace with the guarded ConfigMap ``kept``, on a server where the guard is in force."""

    api: Api
    namespace: str

    @property
    def maps(self) -> str:
        return f"{self.path}/configmaps"

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    async def make(self, name: str, **metadata: Any) -> Obj:
        answer = await self.api.create(self.maps, config_map(name, **{"labels": LABELS, **metadata}))
        assert answer.status == 201, answer.raw
        made: Obj = answer.body
        return made

    async def delete(self, name: str, *, as_user: str = "", **query: Any) -> Answer:
        path = f"{self.maps}/{name}"
        if as_user:
            return await Person(self.api, as_user, "system:masters").request("DELETE", path, **query)
        return await self.api.delete(path, **query)

    async def take_off(self, path: str) -> None:
        await self.api.patch(path, {"metadata": {"labels": {NO_DELETE_LABEL: None}}})


@pytest.fixture
async def here(guard: tuple[Obj, Obj]) -> AsyncIterator[Guarded]:
    async with secured() as api:
        for path, obj in zip((POLICIES, BINDINGS), guard, strict=True):
            assert (await api.create(path, obj)).status == 201
        found = Guarded(api, f"guarded-{uuid4().hex[:8]}")
        assert (await api.create("/api/v1/namespaces", {"metadata": {"name": found.namespace}})).status == 201
        await found.make("kept")
        while (await found.delete("kept", dryRun="All")).status != 403:
            pass
        yield found
        for path in (f"{BINDINGS}/{NAME}", f"{POLICIES}/{NAME}", found.path):
            await api.delete(path)


def why(answer: Answer) -> str:
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden"), answer.raw
    return str(answer.body["message"])


async def test_a_person_is_told_what_to_do_instead(here: Guarded) -> None:
    refused = why(await here.delete("kept"))
    assert refused == f'configmaps "kept" is forbidden: {WHAT_ELSE}configmaps kept --namespace={here.namespace}{OFF}'
    await here.take_off(f"{here.maps}/kept")
    assert (await here.delete("kept")).status == 200


async def test_what_is_in_no_namespace_and_what_has_a_group_is_named_as_kubectl_wants_it(here: Guarded) -> None:
    definition = crd("guarded.example.org")
    definition["metadata"]["labels"] = LABELS
    await here.api.define(definition)
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"
    refused = why(await here.api.delete(path))
    assert refused.endswith(f"{WHAT_ELSE}customresourcedefinitions.apiextensions.k8s.io widgets.guarded.example.org{OFF}")
    await here.take_off(path)
    assert (await here.api.delete(path)).status == 200
    await here.api.patch(here.path, {"metadata": {"labels": LABELS}})
    assert why(await here.api.delete(here.path)).endswith(f"{WHAT_ELSE}namespaces {here.namespace}{OFF}")
    await here.take_off(here.path)


@pytest.mark.parametrize("name", PASS)
async def test_whoever_carries_out_what_others_have_decided_passes(here: Guarded, name: str) -> None:
    """packages-G1"""
    assert (await here.delete("kept", as_user=name)).status == 200


@pytest.mark.parametrize("name", REFUSED)
async def test_whoever_decides_is_refused_also_in_a_dry_run(here: Guarded, name: str) -> None:
    """A step of a migration that wants to delete such an object takes its label off first, as a person does."""
    assert WHAT_ELSE in why(await here.delete("kept", as_user=name))
    assert WHAT_ELSE in why(await here.delete("kept", as_user=name, dryRun="All"))


async def test_a_whole_collection_is_refused_for_what_is_guarded_in_it(here: Guarded) -> None:
    refused = why(await here.api.delete(here.maps, labelSelector=f"{NO_DELETE_LABEL}=true"))
    assert refused.endswith(f"configmaps kept --namespace={here.namespace}{OFF}")
    assert (await here.api.get(f"{here.maps}/kept")).status == 200


async def test_what_belongs_to_something_that_is_gone_is_collected(here: Guarded) -> None:
    """packages-G1"""
    owner = await here.make("owner", labels={})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await here.make("owned", ownerReferences=[reference])
    assert (await here.delete("owner")).status == 200
    await here.api.until(f"{here.maps}/owned", lambda answer: answer.status == 404)


async def test_a_namespace_that_may_go_takes_what_is_guarded_in_it_along(here: Guarded) -> None:
    """packages-G1"""
    assert (await here.api.delete(here.path)).status == 200
    await here.api.until(here.path, lambda answer: answer.status == 404)


async def test_without_the_label_nobody_is_asked(here: Guarded) -> None:
    await here.make("free", labels={NO_DELETE_LABEL: "false"})
    assert (await here.delete("free")).status == 200


async def test_the_guard_does_not_guard_itself(here: Guarded) -> None:
    """Kubernetes asks no policy about policies, whatever label they carry: it is there against mistakes."""
    for path in (BINDINGS, POLICIES):
        assert (await here.api.get(f"{path}/{NAME}")).body["metadata"]["labels"] == LABELS
        assert (await here.api.delete(f"{path}/{NAME}", dryRun="All")).status == 200

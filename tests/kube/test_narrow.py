"""Types that pass over what nobody asks for."""

from __future__ import annotations

import msgspec

from cozystack.api.flux import ExternalArtifact, HelmRelease, SourceStatus
from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import HELM_RELEASES, untyped
from cozystack.kube.codec import Codec
from cozystack.kube.narrow import unmanaged, without

RELEASE = {
    "apiVersion": "helm.toolkit.fluxcd.io/v2",
    "kind": "HelmRelease",
    "metadata": {"name": "net", "namespace": "acme-net", "labels": {"a": "b"}},
    "spec": {"interval": "5m"},
    "status": {"observedGeneration": 3},
}
MANAGED = {**RELEASE, "metadata": {**RELEASE["metadata"], "managedFields": [{"manager": 1, "fieldsV1": "whatever it is"}]}}  # type: ignore[dict-item]


def test_what_is_passed_over_may_be_anything_and_the_rest_is_read() -> None:
    found = Codec(unmanaged(HELM_RELEASES)).object(msgspec.json.encode(MANAGED))
    assert isinstance(found, HelmRelease)
    assert msgspec.to_builtins(found) == RELEASE


def test_a_field_of_another_type_keeps_its_default() -> None:
    kind = without(ExternalArtifact, status=without(SourceStatus, "conditions"))
    assert msgspec.json.decode(b'{"metadata": {"name": "x"}}', type=kind).status == SourceStatus()
    read = msgspec.json.decode(b'{"metadata": {"name": "x"}, "status": {"conditions": 1, "observedGeneration": 2}}', type=kind)
    assert (read.status.conditions, read.status.observed_generation) == ((), 2)


def test_a_narrower_type_says_what_the_whole_one_says_of_wrong_values() -> None:
    def message(kind: type[ObjectMeta]) -> str:
        try:
            msgspec.json.decode(b'{"name": 1}', type=kind)
        except msgspec.ValidationError as error:
            return str(error)
        return ""

    assert message(without(ObjectMeta, "managed_fields")) == message(ObjectMeta) != ""


def test_objects_without_a_type_come_whole() -> None:
    deployments = untyped("apps", "v1", "Deployment", "deployments")
    assert unmanaged(deployments) is deployments

"""The ValidatingWebhookConfiguration, by which the API server asks the webhook.

The leader writes it once its own webhook listens, and keeps it as it should be; an operator without the webhook removes it.
What must never wait for the webhook is left out by the API server itself, so that not even a webhook that fails closed and is
gone can hold it up: the operator's own writes, changes that leave the spec alone, objects that are being deleted, deletions.
The configuration is owned by the ClusterRoleBinding of the installer's chart, so that it goes when the chart is uninstalled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from cozystack.api import names
from cozystack.api.meta import JSON, Key
from cozystack.api.resources import SECRETS, Resource, untyped
from cozystack.kube import Applier, Client, Informer, ownership
from cozystack.kube.errors import Conflict, KubeError, NotFound
from cozystack.runtime import Done, Log, Result

NAME = "cozystack-operator-webhook"
"""Of the configuration, and of the Service in the installer's chart."""
SECRET = "cozystack-operator-webhook"
LABELS = {"app.kubernetes.io/managed-by": "cozystack-operator"}
PATH = "/validate"
WEBHOOK = "packages.operator.cozystack.io"
SECONDS = 5
CONFIGURATIONS: Resource[dict[str, Any]] = untyped(
    "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)
_BINDINGS: Resource[dict[str, Any]] = untyped(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
_OWNER = Key("", "cozystack-operator")


def configuration(
    *, namespace: str, authorities: bytes, own: str, fail_closed: bool, owner: dict[str, Any] | None = None
) -> dict[str, JSON]:
    """The configuration; ``own`` is the operator's account, ``owner`` the object that it goes with."""
    metadata: dict[str, JSON] = {"name": NAME, "labels": LABELS}
    if owner is not None:
        kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}
        metadata["ownerReferences"] = [{**kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]
    service = {"namespace": namespace, "name": NAME, "path": PATH, "port": 443}
    webhook = {
        "name": WEBHOOK,
        "clientConfig": {"service": service, "caBundle": base64.b64encode(authorities).decode()},
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "apiVersions": ["v1alpha1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["packages", "packagesources"],
                "scope": "Cluster",
            }
        ],
        "matchConditions": [{"name": name, "expression": text} for name, text in conditions(own)],
        "failurePolicy": "Fail" if fail_closed else "Ignore",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": SECONDS,
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": metadata,
        "webhooks": [webhook],
    }


def conditions(own: str) -> list[tuple[str, str]]:
    """Names and CEL expressions of what has to hold for the webhook to be asked at all."""
    found = [
        ("is-not-being-deleted", "!has(object.metadata.deletionTimestamp)"),
        (
            "changes-the-spec",
            "request.operation == 'CREATE' || has(object.spec) != has(oldObject.spec) || "
            "(has(object.spec) && object.spec != oldObject.spec)",
        ),
    ]
    if own:
        found.append(("is-not-the-operator", f"request.userInfo.username != {json.dumps(own)}"))
    return found


class Registrar:
    """Reconciles the configuration; ``authorities`` and ``own`` are asked each time."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        fail_closed: bool,
        authorities: Callable[[], bytes],
        own: Callable[[], str],
        log: Log,
    ) -> None:
        self.configurations: Informer[dict[str, Any]] = Informer(
            client,
            CONFIGURATIONS,
            field_selector=f"metadata.name={NAME}",
            transform=ownership([names.OPERATOR_MANAGER]),
        )
        self._client = client
        self._applier = Applier(client, names.OPERATOR_MANAGER)
        self._namespace = namespace
        self._fail_closed = fail_closed
        self._authorities = authorities
        self._own = own
        self._log = log

    async def reconcile(self, key: Key) -> Result:
        owner: dict[str, Any] | None = await self._client.find(_BINDINGS, _OWNER)
        wanted = configuration(
            namespace=self._namespace,
            authorities=self._authorities(),
            own=self._own(),
            fail_closed=self._fail_closed,
            owner=owner,
        )
        live = self.configurations.store.entry(Key("", NAME))
        outcome = await self._applier.apply(CONFIGURATIONS, wanted, live)
        if outcome.changed:
            self._log.info("webhook registered", configuration=NAME, failure_policy=wanted["webhooks"][0]["failurePolicy"])
        return Done()


async def retire(client: Client, *, namespace: str, log: Log) -> None:
    """Remove what an operator with the webhook has left behind; a failure is told and no obstacle."""
    try:
        # A list, not a get: after a start there are lists and watches, and nothing else.
        found = (await client.list(CONFIGURATIONS, field_selector=f"metadata.name={NAME}")).items
        if not found:
            return
        await client.delete(CONFIGURATIONS, Key("", NAME), uid=found[0]["metadata"]["uid"])
        log.info("webhook is off: its configuration was removed", configuration=NAME)
        await client.delete(SECRETS, Key(namespace, SECRET))
    except (NotFound, Conflict):
        pass
    except KubeError as error:
        log.warning("the configuration of the webhook could not be removed", configuration=NAME, reason=str(error))

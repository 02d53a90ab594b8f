"""The Secret in which all replicas of the operator share the webhook's certificates.

Whoever finds it missing makes it, whoever finds it due renews it, under the version that was read: of several, one succeeds,
and the others take what it wrote. The Secret is watched, so a new certificate is shown by everybody at once.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from cozystack.api.core import Secret
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import SECRETS
from cozystack.kube import Client, Informer
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists, Conflict, NotFound
from cozystack.operator.webhook.certificates import Certificates, issue, renewal, renewed
from cozystack.operator.webhook.registration import LABELS, SECRET
from cozystack.runtime import Done, Log, RequeueAfter, Result

_MANAGER = "cozystack-operator-webhook"
_FIELDS = {"ca.crt": "authorities", "ca.key": "authority_key", "tls.crt": "certificate", "tls.key": "key"}
_LONGEST_SLEEP = 86_400.0


class Keeper:
    """Reconciles the Secret; ``on_certificates`` is told of what it holds whenever that has been looked at."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        host: str,
        clock: Clock,
        log: Log,
        on_certificates: Callable[[Certificates], None],
    ) -> None:
        self.key = Key(namespace, SECRET)
        self.secrets: Informer[Secret] = Informer(
            client, SECRETS, namespace=namespace, field_selector=f"metadata.name={SECRET}"
        )
        self._client = client
        self._host = host
        self._clock = clock
        self._log = log
        self._on_certificates = on_certificates

    async def reconcile(self, key: Key) -> Result:
        now = self._clock.now()
        secret = self.secrets.store.get(self.key)
        if secret is None:
            await self._create(issue(self._host, now))
            return Done()
        held = certificates_of(secret)
        wanted = renewed(held, self._host, now) if held is not None else issue(self._host, now)
        if wanted is not held:
            await self._replace(secret, wanted)
            return Done()
        self._on_certificates(wanted)
        return RequeueAfter(min(max((renewal(wanted) - now).total_seconds(), 1.0), _LONGEST_SLEEP))

    async def _create(self, certificates: Certificates) -> None:
        secret = Secret(
            api_version="v1",
            kind="Secret",
            metadata=ObjectMeta(name=self.key.name, namespace=self.key.namespace, labels=LABELS),
            type="kubernetes.io/tls",
            data=data_of(certificates),
        )
        try:
            await self._client.create(SECRETS, secret, manager=_MANAGER)
        except AlreadyExists:
            return  # another replica was first: the watch brings what it made
        self._log.info("certificates made for the webhook", secret=str(self.key))

    async def _replace(self, secret: Secret, certificates: Certificates) -> None:
        patch = {"metadata": {"resourceVersion": secret.metadata.resource_version}, "data": data_of(certificates)}
        try:
            await self._client.patch(SECRETS, self.key, patch, manager=_MANAGER)
        except (Conflict, NotFound):
            return  # the watch brings what somebody else did
        self._log.info("certificates of the webhook renewed", secret=str(self.key))


def data_of(certificates: Certificates) -> dict[str, str]:
    return {name: base64.b64encode(getattr(certificates, field)).decode() for name, field in _FIELDS.items()}


def certificates_of(secret: Secret) -> Certificates | None:
    """What a Secret holds, readable or not; nothing when a part is missing."""
    try:
        parts = {field: base64.b64decode(secret.data[name], validate=True) for name, field in _FIELDS.items()}
    except (KeyError, binascii.Error):
        return None
    return Certificates(**parts)

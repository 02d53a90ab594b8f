"""``cozystack-operator label-namespace``: put the platform's labels on its own namespace, and exit.

The installer chart runs this as a hook before the operator's Pod is admitted: Helm cannot adopt a namespace that it was
asked to create, and the Pod needs the privileged Pod Security level (specification, packages 2.3).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import NAMESPACES
from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.kube.errors import KubeError

LABELS = {
    names.SYSTEM_LABEL: "true",
    names.NO_DELETE_LABEL: "true",
    names.POD_SECURITY_LABEL: "privileged",
}


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Exit code 0 when the labels are there, 1 when they cannot be put there, 2 for wrong arguments."""
    namespace = names.SYSTEM_NAMESPACE
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--namespace="):
            namespace = word.removeprefix("--namespace=")
        elif word == "--namespace" and rest:
            namespace = rest.pop(0)
        else:
            sys.stderr.write(f'cozystack-operator label-namespace: "{word}" is not understood; it takes --namespace NAME\n')
            return 2
    try:
        asyncio.run(label(namespace, environment))
    except KubeError as error:
        sys.stderr.write(f"cozystack-operator label-namespace: {error}\n")
        return 1
    sys.stdout.write(f"namespace {namespace} is labelled\n")
    return 0


async def label(namespace: str, environment: Mapping[str, str]) -> None:
    clock = SystemClock()
    kubeconfig = environment.get("KUBECONFIG")
    transport = HttpTransport(load_config(Path(kubeconfig) if kubeconfig else None, None, environment), clock=clock)
    try:
        client = Client(transport, clock=clock, user_agent="cozystack-operator")
        await client.patch(NAMESPACES, Key("", namespace), {"metadata": {"labels": LABELS}}, manager=names.OPERATOR_MANAGER)
    finally:
        await transport.close()

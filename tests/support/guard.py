"""The deletion guard as the original's platform has it: it lets nobody pass."""

from __future__ import annotations

from urllib.request import Request, urlopen

import msgspec

from support.apiserver import TOKEN
from support.cluster import Cluster

NAME = "cozystack-no-delete-guardrail"
LABEL = "platform.cozystack.io/no-delete"
SENTENCE = "take the label off"
_GROUP = "/apis/admissionregistration.k8s.io/v1"


def guard(cluster: Cluster) -> None:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["*/*"], "scope": "*"}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": SENTENCE}]}
    binding = {
        "policyName": NAME,
        "validationActions": ["Deny"],
        "matchResources": {"objectSelector": {"matchLabels": {LABEL: "true"}}},
    }
    for plural, spec in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
        body = msgspec.json.encode({"metadata": {"name": NAME}, "spec": spec})
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(f"{cluster.address}{_GROUP}/{plural}", body, headers), timeout=20) as answer:  # noqa: S310
            assert answer.status == 201

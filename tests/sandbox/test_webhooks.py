"""Admission webhooks of a whole sandbox: the operator's is asked, those of simulated Pods admit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.sandbox import PACKAGES, Running, running

pytestmark = pytest.mark.xdist_group("webhooks")

BAD_PACKAGE = """\
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: acme.db
spec:
  components:
    db:
      values: [1, 2]
"""
BAD_SOURCE = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata:
  name: acme.db
spec:
  sourceRef: {kind: OCIRepository, name: charts, namespace: cozy-system}
  variants:
    - name: default
      components:
        - {name: db, path: system/db, install: {namespace: Acme_DB}}
"""
SIMULATED = """\
apiVersion: v1
kind: Service
metadata: {name: policy, namespace: default}
spec:
  selector: {app: policy}
  ports: [{port: 443, targetPort: 9443}]
---
apiVersion: v1
kind: Pod
metadata: {name: policy, namespace: default, labels: {app: policy}}
spec:
  containers: [{name: policy, image: registry.example.org/policy:v1}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: policy}
webhooks:
  - name: policy.example.org
    clientConfig: {service: {namespace: default, name: policy, path: /}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
    failurePolicy: Fail
    sideEffects: None
    admissionReviewVersions: [v1]
"""


def refusal(sandbox: Running, file: Path) -> str:
    """What kubectl says when it is refused."""
    with pytest.raises(AssertionError) as caught:
        sandbox.kubectl("apply", "-f", str(file))
    return str(caught.value)


def test_the_operators_webhook_refuses_and_a_simulated_one_admits(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(PACKAGES, packages)
    values = packages / "core/installer/values.yaml"
    text = values.read_text()
    assert text.count("webhook:\n    enabled: false") == 1
    values.write_text(text.replace("webhook:\n    enabled: false", "webhook:\n    enabled: true"))
    for name, content in (("package", BAD_PACKAGE), ("source", BAD_SOURCE), ("simulated", SIMULATED)):
        (tmp_path / f"{name}.yaml").write_text(content)
    with running(tmp_path / "state", "--variant", "isp-hosted", "--platform-source", packages) as sandbox:
        sandbox.until("The platform is ready")
        sandbox.kubectl("get", "validatingwebhookconfigurations", "cozystack-operator-webhook")
        # The sentences are the planner's; what counts here is that they arrive, each by its field.
        (_, said) = refusal(sandbox, tmp_path / "source.yaml").splitlines()
        field = "spec.variants[default].components[db].install.namespace"
        assert said.startswith(f'The PackageSource "acme.db" is invalid: {field}: "Acme_DB" is no name of a namespace')
        warning, said = refusal(sandbox, tmp_path / "package.yaml").splitlines()
        assert warning == "Warning: PackageSource acme.db not found; create PackageSource acme.db"
        assert said.startswith('The Package "acme.db" is invalid: spec.components[db].values: ')
        sandbox.kubectl("apply", "-f", str(tmp_path / "simulated.yaml"))
        sandbox.kubectl("create", "configmap", "admitted")
        described = sandbox.kubectl("describe", "service", "policy")
        assert "simulated: an admission webhook that stands on it admits everything" in described
        said = (sandbox.state / "sandbox.log").read_text()
        assert "webhook admits everything: the Pods behind its Service are simulated" in said

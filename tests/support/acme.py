"""A small catalogue of packages for golden tests of the command line."""

from __future__ import annotations

from typing import Any

SOURCES = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.crds}
spec: {variants: [{name: default}]}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - {name: none}
    - name: flannel
      dependsOn: [acme.crds]
      components: [{name: flannel, path: system/flannel, install: {namespace: acme-net, privileged: true}}]
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.db}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      dependsOn: [acme.crds]
      components:
        - {name: operator, path: system/operator, install: {namespace: acme-db}}
        - {name: seed, path: system/seed, valuesFiles: [values.yaml], install: {namespace: acme-db, dependsOn: [operator]}}
    - name: ha
      dependsOn: [acme.crds, acme.net]
      components:
        - {name: operator, path: system/operator, install: {namespace: acme-db}}
        - {name: tool, path: tools/tool}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.app}
spec: {variants: [{name: default, dependsOn: [acme.db]}]}
"""

PACKAGES = """\
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.crds, annotations: {operator.cozystack.io/installed-as: dependency}}
spec: {variant: default}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.db, generation: 1}
spec:
  variant: default
  components: {seed: {enabled: false}}
status:
  conditions:
    - {type: Ready, status: "False", reason: HelmReleaseFailed, message: no room, lastTransitionTime: "2026-01-01T00:00:00Z"}
  releases:
    - {name: operator, namespace: acme-db, ready: "False"}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.app, generation: 1}
spec: {variant: default}
status:
  conditions:
    - type: Ready
      status: "True"
      reason: ReconciliationSucceeded
      message: There is nothing to install
      lastTransitionTime: "2026-01-01T00:00:00Z"
"""

PLATFORM = SOURCES + PACKAGES


def condition(kind: str, status: str, message: str = "", reason: str = "Because") -> dict[str, Any]:
    """A status of that one condition."""
    return {
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    }


def release(name: str, namespace: str, package: str) -> str:
    """A HelmRelease that a Package owns."""
    return (
        "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
        f"metadata:\n  name: {name}\n  namespace: {namespace}\n  labels: {{cozystack.io/package: {package}}}\n"
        "  ownerReferences:\n"
        f"    - {{apiVersion: cozystack.io/v1alpha1, kind: Package, name: {package}, uid: uid-of-it, controller: true}}\n"
        "spec: {interval: 5m}\n"
    )

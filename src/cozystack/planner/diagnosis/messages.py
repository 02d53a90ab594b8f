"""What Helm, Flux, registries and the API server say when they fail, told apart by what would help.

A message is matched against patterns in order; the first that fits gives the cause its name and says what to do about it. What
fits nothing keeps its own words. Only whole, documented phrases are matched, never single words.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Reading(NamedTuple):
    """``cause`` is a stable name; ``advice`` one clause, in which ``{0}``, ``{1}`` are what the pattern caught."""

    cause: str
    advice: str


_PATTERNS: tuple[tuple[str, str, str], ...] = (
    # Values and templates
    (
        r"values don't meet the specifications of the schema",
        "values-refused",
        "correct the values of the Package: the message names the key",
    ),
    (
        r"(?:execution error at|error calling (?:fail|required)|template: \S+:\d+)",
        "chart-does-not-render",
        "correct the chart, or the values that it asks for",
    ),
    (
        r"(?:error converting YAML to JSON|YAML parse error|did not find expected)",
        "chart-makes-bad-yaml",
        "correct the template or the values file that the message names",
    ),
    (
        r"could not resolve (Secret|ConfigMap) (?:chart )?values reference '([^']+)'",
        "missing-values",
        "create {0} {1}, or add the key that is missing",
    ),
    (
        r"found in Chart\.yaml, but missing in charts/ directory: ([\w., -]*\w)",
        "missing-library",
        "name {0} among the libraries of the component, and of its variant with its path: then it is copied into the chart",
    ),
    (
        r"chart requires kubeVersion: (\S+)",
        "wrong-kubernetes-version",
        "take a version of the chart for this cluster, or upgrade the cluster",
    ),
    # What the API server refuses
    (
        r'no matches for kind "([^"]+)" in version "([^"]+)"',
        "missing-crd",
        "install the package that brings the CRD of {0} ({1}), and depend on it",
    ),
    (r"ensure CRDs are installed first", "missing-crd", "install the package that brings the CRD, and depend on it"),
    (
        r"(?:cannot be imported into the current release|invalid ownership metadata)",
        "object-of-another-release",
        "remove the object, or let the release that owns it go first",
    ),
    (r'admission webhook "([^"]+)" denied the request', "refused-by-webhook", "change what the webhook {0} objects to"),
    (
        r'failed calling webhook "([^"]+)"',
        "webhook-unreachable",
        "make the Pods behind the webhook {0} ready, or set its failurePolicy to Ignore",
    ),
    (r"ValidatingAdmissionPolicy '([^']+)'", "refused-by-policy", "change what the policy {0} objects to"),
    (
        r"violates PodSecurity \"([^\"]+)\"",
        "pod-security",
        "mark the component privileged in its PackageSource, or correct its Pods",
    ),
    (r"exceeded quota: ([\w.-]+)", "quota", "raise the ResourceQuota {0}, or ask for less"),
    (
        r"(?:must be no more than limit|maximum \S+ usage per \S+ is)",
        "limit-range",
        "ask for less than the LimitRange of the namespace allows",
    ),
    (r"field is immutable", "immutable-field", "remove the object and let Helm make it again; see what it holds first"),
    (
        r"updates to statefulset spec for fields other than",
        "immutable-field",
        "remove the StatefulSet with --cascade=orphan and let Helm make it again",
    ),
    (
        r"forbidden: unable to create new content in namespace (\S+) because it is being terminated",
        "namespace-terminating",
        "wait until namespace {0} is gone, or find out what holds it back",
    ),
    (r'namespaces? "([^"]+)" not found', "missing-namespace", "create namespace {0}"),
    (r'User "([^"]+)" cannot (\w+) resource "([^"]+)"', "forbidden", "give {0} the right to {1} {2}"),
    (
        r"metadata\.name: Invalid value|must consist of lower case alphanumeric",
        "invalid-name",
        "correct the name that the message quotes",
    ),
    (
        r"(?:Request entity too large|request is too large|etcdserver: request is too large)",
        "too-large",
        "make the chart or its values smaller: what Helm stores must fit into a Secret",
    ),
    # Helm's own
    (
        r"another operation \(install/upgrade/rollback\) is in progress",
        "helm-is-locked",
        "see whether another Helm works on the release; else roll it back",
    ),
    (
        r"(?:pre|post)-(?:install|upgrade|delete|rollback) hooks? failed|failed (?:pre|post)-(?:install|upgrade|delete)",
        "hook-failed",
        "see the Job of the hook",
    ),
    (
        r"(?:timed out waiting|context deadline exceeded|timeout waiting for)",
        "timed-out",
        "see the objects of the release that are not ready",
    ),
    (
        r"(?:release name .* is (?:not )?valid|has exceeded the max string length)",
        "invalid-name",
        "give the component another release name",
    ),
    (
        r"cannot re-use a name that is still in use",
        "release-exists",
        "remove the release that has the name, or give the component another",
    ),
    # Sources
    (
        r"(?:MANIFEST_UNKNOWN|manifest unknown|NAME_UNKNOWN|failed to determine artifact digest.*(?:404|not found))",
        "artifact-not-found",
        "correct the tag or digest of the source, or push the artifact",
    ),
    (
        r"(?:UNAUTHORIZED|DENIED|401 Unauthorized|403 Forbidden|authentication required|permission denied \(publickey\))",
        "registry-login",
        "correct the Secret that the source logs in with",
    ),
    (
        r"x509: certificate|tls: failed to verify|certificate signed by unknown authority",
        "untrusted-certificate",
        "give the source the CA in certSecretRef",
    ),
    (r"server gave HTTP response to HTTPS client", "plain-http", "set insecure: true on the source, or serve it over TLS"),
    (
        r"lookup (\S+?)(?: on \S+)?: (?:no such host|server misbehaving|i/o timeout)",
        "no-such-host",
        "correct the host {0}, or the DNS of the cluster",
    ),
    (
        r"(?:connection refused|no route to host|network is unreachable|i/o timeout|dial tcp)",
        "unreachable",
        "make the address that the message names reachable from the cluster",
    ),
    (
        r"(?:couldn't find remote ref|reference not found|unable to find .* ref|failed to resolve)",
        "no-such-ref",
        "correct the branch, tag or commit of the source",
    ),
    (r"repository not found", "no-such-repository", "correct the URL of the source"),
    (
        r"(?:signature|verification) .*(?:failed|mismatch)|no matching signatures",
        "not-verified",
        "sign the artifact with the key that the source expects",
    ),
    (
        r"(?:no such file or directory|no files matched|source path .* does not exist|finds nothing in its source)",
        "missing-path",
        "correct the path in the PackageSource, or add the folder to the repository",
    ),
    (r"(?:no space left on device|disk quota exceeded)", "disk-full", "free the disk of the controller that says so"),
)

_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), cause, advice) for pattern, cause, advice in _PATTERNS)


def read(message: str) -> Reading | None:
    """What a message means, or ``None``."""
    for pattern, cause, advice in _COMPILED:
        found = pattern.search(message)
        if found is not None:
            caught = [group or "" for group in found.groups()]
            return Reading(cause, advice.format(*caught) if caught else advice)
    return None

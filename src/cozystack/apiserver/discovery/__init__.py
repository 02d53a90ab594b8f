"""Discovery documents: which groups, versions and resources there are, in the aggregated form and in the old one."""

from __future__ import annotations

from typing import Any

from cozystack.apiserver.resources import Registry, ResourceInfo


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """``APIGroupDiscoveryList`` (v2) of the core group, or of all others."""
    groups = [group for group in registry.groups() if (group == "") is core]
    items = []
    for group in groups:
        metadata: dict[str, Any] = {"name": group} if group else {}
        versions = [
            {
                "version": version,
                "resources": [_aggregated_resource(info) for info in _in_version(registry, group, version)],
                "freshness": "Current",
            }
            for version in registry.versions(group)
        ]
        items.append({"metadata": metadata, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _in_version(registry: Registry, group: str, version: str) -> list[ResourceInfo]:
    return sorted(registry.in_version(group, version), key=lambda info: info.plural)


def _aggregated_resource(info: ResourceInfo) -> dict[str, Any]:
    item: dict[str, Any] = {
        "resource": info.plural,
        "responseKind": {"group": info.group, "version": info.version, "kind": info.kind},
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": sorted(info.verbs),
    }
    if info.short_names:
        item["shortNames"] = list(info.short_names)
    if info.categories:
        item["categories"] = list(info.categories)
    if info.subresources:
        item["subresources"] = [info.subresources[name] for name in sorted(info.subresources)]
    return item


def api_versions(registry: Registry) -> dict[str, Any]:
    """``APIVersions``: those of the core group."""
    return {
        "kind": "APIVersions",
        "versions": registry.versions(""),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    }


def api_group(registry: Registry, group: str) -> dict[str, Any]:
    """``APIGroup``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def api_group_list(registry: Registry) -> dict[str, Any]:
    """``APIGroupList``: all but the core group."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(registry, group) for group in registry.groups() if group],
    }


def _group(registry: Registry, group: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in registry.versions(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_resource_list(registry: Registry, group: str, version: str) -> dict[str, Any]:
    """``APIResourceList`` of one version."""
    resources: list[dict[str, Any]] = []
    for info in _in_version(registry, group, version):
        item: dict[str, Any] = {
            "name": info.plural,
            "singularName": info.singular,
            "namespaced": info.namespaced,
            "kind": info.kind,
            "verbs": sorted(info.verbs),
        }
        if info.short_names:
            item["shortNames"] = list(info.short_names)
        if info.categories:
            item["categories"] = list(info.categories)
        resources.append(item)
        for name, sub in sorted(info.subresources.items()):
            kind = sub.get("responseKind", {})
            entry: dict[str, Any] = {
                "name": f"{info.plural}/{name}",
                "singularName": "",
                "namespaced": info.namespaced,
                "kind": kind.get("kind", info.kind),
                "verbs": sub.get("verbs", []),
            }
            if kind.get("group", info.group) != info.group:
                entry |= {"group": kind["group"], "version": kind["version"]}
            resources.append(entry)
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}

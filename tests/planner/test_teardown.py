"""What goes with a platform: picked by name and label, never what others own."""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.api.core import Namespace
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease, OCIRepository
from cozystack.api.meta import Key
from cozystack.planner import Catalogue
from cozystack.planner.teardown import Teardown, plan_teardown, system_namespaces


def package(name: str) -> Package:
    return msgspec.convert({"kind": "Package", "metadata": {"name": name, "uid": name}, "spec": {}}, Package)


def source(name: str, *needs: str) -> PackageSource:
    spec = {"variants": [{"name": "default", "dependsOn": list(needs)}]}
    return msgspec.convert({"kind": "PackageSource", "metadata": {"name": name}, "spec": spec}, PackageSource)


def release(name: str, owner: str, *, suspend: bool = False) -> HelmRelease:
    metadata: dict[str, Any] = {"name": name, "namespace": "acme"}
    if owner:
        reference = {"apiVersion": "cozystack.io/v1alpha1", "kind": "Package", "name": owner, "uid": owner, "controller": True}
        metadata["ownerReferences"] = [reference]
    return msgspec.convert({"metadata": metadata, "spec": {"interval": "5m", "suspend": suspend}}, HelmRelease)


def repository(name: str) -> OCIRepository:
    metadata = {"name": name, "namespace": "cozy-system"}
    return msgspec.convert({"metadata": metadata, "spec": {"url": "oci://acme.test/x", "interval": "5m"}}, OCIRepository)


def namespace(name: str, **labels: str) -> Namespace:
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Namespace)


def test_nothing_is_planned_where_nothing_is() -> None:
    assert plan_teardown(Catalogue()) == Teardown()


def test_the_platform_goes_last_though_packages_of_others_are_there() -> None:
    view = Catalogue()
    for each in (source("acme.db", "acme.crds"), source("acme.crds"), source("cozystack.cozystack-platform")):
        view.set_source(each)
    for name in ("acme.crds", "acme.db", "cozystack.cozystack-platform"):
        view.set_package(package(name))
    plan = plan_teardown(view)
    assert [[each.name for each in layer] for layer in plan.layers] == [["acme.db"], ["acme.crds"]]
    assert plan.platform is not None
    assert plan.platform.name == "cozystack.cozystack-platform"
    assert plan.sources == ("acme.crds", "acme.db", "cozystack.cozystack-platform")


def test_what_others_have_made_with_flux_is_told_apart() -> None:
    view = Catalogue()
    view.set_package(package("acme.db"))
    for each in (release("db", "acme.db", suspend=True), release("theirs", "", suspend=True)):
        view.set_release(each)
    plan = plan_teardown(view, repositories=[repository("cozystack-packages"), repository("theirs")])
    assert (plan.suspended, plan.foreign) == ((Key("acme", "db"),), (Key("acme", "theirs"),))
    assert plan.repositories == ("OCIRepository cozy-system/theirs",)


def test_namespaces_of_kubernetes_and_data_elsewhere_are_not_ours() -> None:
    label = {"cozystack.io/system": "true"}
    all_ = [namespace("cozy-db", **label), namespace("kube-system", **label), namespace("default"), namespace("tenant-root")]
    assert system_namespaces(all_) == ("cozy-db",)
    plan = plan_teardown(Catalogue(), namespaces=all_, volumes=[Key("cozy-db", "disk"), Key("tenant-root", "disk")])
    assert (plan.namespaces, plan.volumes) == (("cozy-db",), (Key("cozy-db", "disk"),))

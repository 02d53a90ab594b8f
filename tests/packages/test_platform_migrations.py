"""What the platform's chart renders of migrations, by what it finds in the cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import yaml
from cozystack.api.core import Namespace
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import NAMESPACES, Resource
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.objects import Objects
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import open_storage
from cozystack.kube import Client, SystemClock
from cozystack.kube.errors import Forbidden
from cozystack.migrate.generate import PATH, chart_file
from cozystack.migrate.rights import give_up_rights
from cozystack.planner.teardown import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from support.apiserver import ADMIN
from support.inprocess import InProcess
from support.packages import (
    PACKAGES,
    PLATFORM_RELEASE,
    Charts,
    Helm,
    Rendered,
    identity,
    is_pinned,
    platform_chart,
    platform_values,
)

Obj = dict[str, Any]
Cluster = Callable[..., Rendered]
HOOK = "pre-upgrade,pre-install"
RBAC: dict[str, Resource[Any]] = {each.kind: each for each in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)}
TAKEN_AWAY = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
PACKAGE = {
    "metadata": {"name": "cozystack.reloader", "annotations": {"meta.helm.sh/release-name": "cozystack-platform"}},
}


@pytest.fixture
def cluster(helm: Helm, charts: Charts, tmp_path: Path) -> Cluster:
    """The chart on a cluster that holds some objects; without one nothing answers what it looks up."""
    chart = charts.copy(platform_chart(charts, "default"), tmp_path)
    template = (chart / "templates/migrations.yaml").read_text()
    generated = (chart / "migrations.yaml").read_text()

    def render(
        *,
        version: str | None = None,
        ledger: Obj | None = None,
        job: Obj | None = None,
        packages: tuple[Obj, ...] = (),
        rights: bool = False,
        steps: tuple[int, ...] = (),
        registry: str = "",
        **settings: Any,
    ) -> Rendered:
        held: Obj = {
            "version": {} if version is None else {"data": {"version": version}},
            "ledger": {} if ledger is None else {"data": {key: yaml.dump(value) for key, value in ledger.items()}},
            "job": job or {},
            "packages": {"items": list(packages)},
            "rights": {"metadata": {}} if rights else {},
        }
        names = iter(held)
        text, count = re.subn(r"\(lookup [^)]*\)", lambda _: f"(.Values.global.held.{next(names)})", template)
        assert count == len(held)
        (chart / "templates/migrations.yaml").write_text(text)
        described = yaml.load(generated, source="migrations.yaml")
        described["steps"] = [{"number": step, "name": f"step-{step}"} for step in steps]
        (chart / "migrations.yaml").write_text(yaml.dump(described))
        migrations = {"enabled": True, "targetVersion": 59, **settings}
        values = {"migrations": migrations, "global": {"held": held}, "imagesRegistry": registry}
        return helm.render(chart, PLATFORM_RELEASE, platform_values(values))

    return render


def hooks(found: Rendered) -> list[str]:
    """Hooks with their weight and policy, in the order in which the templates have them."""
    return [
        f"{item['kind']} {item['metadata']['name']}: {annotations['helm.sh/hook']} {annotations['helm.sh/hook-weight']} "
        f"{annotations['helm.sh/hook-delete-policy']}"
        for item in found.objects
        if "helm.sh/hook" in (annotations := item["metadata"].get("annotations") or {})
    ]


RIGHTS = [f"{kind} cozystack-migrations: {HOOK} 0 before-hook-creation" for kind in ("ServiceAccount", *TAKEN_AWAY)]
REMOVAL = [
    f"{kind} cozystack-migrations: post-upgrade,post-install 0 before-hook-creation,hook-succeeded" for kind in TAKEN_AWAY
]
RUNNER = f"Job cozystack-migrations: {HOOK} 1 before-hook-creation"


def test_what_the_chart_knows_of_the_steps_is_up_to_date() -> None:
    assert (PACKAGES.parent / PATH).read_text() == chart_file(), "run `make generate`"


def test_the_release_wants_what_its_steps_lead_to() -> None:
    described = yaml.load(chart_file(), source=PATH)
    values = yaml.load((PACKAGES / "core/platform/values.yaml").read_text(), source="values")
    assert values["migrations"]["targetVersion"] == described["targetVersion"]


def test_a_fresh_cluster_gets_number_and_ledger_and_runs_nothing(cluster: Cluster) -> None:
    found = cluster()
    assert hooks(found) == []
    held = found.of_kind("ConfigMap")
    assert (held["cozystack-version"]["data"], yaml.load(held["cozystack-migrations"]["data"]["baseline"])) == (
        {"version": "59"},
        {"number": 59, "why": "fresh"},
    )


def test_steps_run_before_an_upgrade_with_no_more_rights_than_they_declare(cluster: Cluster) -> None:
    """packages-M7: and the rights to give all of that up."""
    found = cluster(version="56")
    assert sorted(hooks(found)) == sorted([*RIGHTS, RUNNER])
    assert found.of_kind("ConfigMap") == {}
    described = yaml.load(chart_file(), source=PATH)
    granted = [item for item in found.objects if item["kind"] in ("ClusterRole", "Role")]
    assert [item["rules"] for item in granted] == [
        [*described["clusterRules"], *own("clusterroles", "clusterrolebindings")],
        [*described["namespaceRules"], *own("roles", "rolebindings")],
    ]
    bindings = [item for item in found.objects if item["kind"] in ("ClusterRoleBinding", "RoleBinding")]
    subjects = [{"kind": "ServiceAccount", "name": "cozystack-migrations", "namespace": "cozy-system"}]
    assert [item["subjects"] for item in bindings] == [subjects, subjects]


def own(roles: str, bindings: str) -> list[Obj]:
    """The rights over the runner's own role and binding."""
    common = {"apiGroups": ["rbac.authorization.k8s.io"], "resourceNames": ["cozystack-migrations"]}
    return [
        {**common, "resources": [roles], "verbs": ["get", "delete"]},
        {**common, "resources": [bindings], "verbs": ["patch"]},
    ]


FOUND: dict[str, dict[str, Any]] = {
    "fresh": {},
    "pending": {"version": "56"},
    "pending, with rights that an attempt left": {"version": "56", "rights": True},
    "pending, with a runner": {"version": "56", "rights": True, "job": {"metadata": {}}},
    "done": {"version": "59"},
    "done, with rights that are left": {"version": "59", "rights": True},
}


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
def test_no_object_is_named_twice(found: dict[str, Any], cluster: Cluster) -> None:
    """Flux passes hooks through its post-renderer with everything else, and that refuses a second object of a name."""
    names = [identity(item) for item in cluster(**found).objects]
    assert [name for name in names if names.count(name) > 1] == []


def test_the_runner_is_told_what_the_original_tells_it(cluster: Cluster) -> None:
    (container,) = cluster(version="56").of_kind("Job")["cozystack-migrations"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["cozystack-migrate", "run"]
    assert container["args"] == ["--give-up-rights=cozystack-migrations"]
    assert container["env"] == [
        {"name": "NAMESPACE", "value": "cozy-system"},
        {"name": "CURRENT_VERSION", "value": "56"},
        {"name": "TARGET_VERSION", "value": "59"},
        {"name": "ETCD_ADOPT_SKIP_BACKUP", "value": "0"},
        {"name": "COZYSTACK_MIGRATIONS", "value": "/migrations"},
    ]
    assert is_pinned(container["image"])


def test_the_runner_comes_from_the_registry_that_replaces_all(cluster: Cluster) -> None:
    """packages-I3: so does whoever waits for it."""
    mirrored = "mirror.acme.test:5000/all/cozystack-python/cozystack:"
    jobs: tuple[Obj, ...] = ({}, {"metadata": {}})
    for job in jobs:
        (found,) = cluster(version="56", job=job, registry="mirror.acme.test:5000/all").of_kind("Job").values()
        assert found["spec"]["template"]["spec"]["containers"][0]["image"].startswith(mirrored)


def test_steps_of_ones_own_may_do_what_the_values_say(cluster: Cluster) -> None:
    rule = {"apiGroups": ["acme.test"], "resources": ["anvils"], "verbs": ["patch"]}
    (role,) = cluster(version="56", extraRules=[rule]).of_kind("ClusterRole").values()
    assert rule in role["rules"]


@pytest.mark.parametrize("version", ["59", "60"])
def test_nothing_runs_when_everything_is_done(version: str, cluster: Cluster) -> None:
    found = cluster(version=version)
    assert (hooks(found), found.of_kind("ConfigMap")) == ([], {})


def test_nothing_runs_where_migrations_are_off(cluster: Cluster) -> None:
    found = cluster(version="56", enabled=False)
    assert (hooks(found), found.of_kind("ConfigMap")) == ([], {})


def test_a_runner_that_still_runs_is_waited_for_and_left_alone(cluster: Cluster) -> None:
    """packages-M2: its Job and its rights are not rendered, so Helm deletes neither."""
    found = cluster(version="56", job={"metadata": {"name": "cozystack-migrations"}, "status": {"active": 1}})
    once = f"{HOOK} 0 before-hook-creation,hook-succeeded"
    assert sorted(hooks(found)) == sorted(
        [
            *(f"{kind} cozystack-migration-hook: {once}" for kind in ("ServiceAccount", "Role", "RoleBinding")),
            f"Job cozystack-migration-hook: {HOOK} 1 before-hook-creation",
            *REMOVAL,
        ]
    )
    (container,) = found.of_kind("Job")["cozystack-migration-hook"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["cozystack-migrate", "wait"]


@pytest.mark.parametrize("ended", ["Failed", "Complete"])
def test_a_runner_that_has_ended_is_followed_by_another(ended: str, cluster: Cluster) -> None:
    job = {"metadata": {}, "status": {"conditions": [{"type": ended, "status": "True"}]}}
    assert sorted(hooks(cluster(version="56", job=job))) == sorted([*RIGHTS, RUNNER])


def test_rights_that_an_attempt_left_are_taken_away_by_the_next(cluster: Cluster) -> None:
    """packages-M7."""
    assert hooks(cluster(version="59", rights=True)) == REMOVAL


def test_rights_of_a_runner_that_still_runs_are_not_taken_away(cluster: Cluster) -> None:
    assert hooks(cluster(version="59", rights=True, job={"metadata": {}})) == []


def test_a_step_that_was_passed_over_runs_though_the_number_is_above_it(cluster: Cluster) -> None:
    """packages-M3."""
    ledger = {"baseline": {"number": 56}, "0056.step-56": {"outcome": "done"}, "0057.backport": {"outcome": "done"}}
    assert RUNNER in hooks(cluster(version="59", ledger=ledger, steps=(55, 56, 57)))
    ledger["0057.step-57"] = {"outcome": "skipped"}
    assert hooks(cluster(version="59", ledger=ledger, steps=(55, 56, 57))) == []


def test_a_number_that_is_lost_is_found_in_the_ledger(cluster: Cluster) -> None:
    """packages-M4."""
    found = cluster(ledger={"baseline": {"number": 56}}, packages=(PACKAGE,))
    assert RUNNER in hooks(found)
    assert found.of_kind("ConfigMap") == {}


def test_an_installation_that_has_lost_both_is_not_taken_for_a_fresh_one(cluster: Cluster) -> None:
    """packages-M4."""
    with pytest.raises(Exception, match="tell the number of the release that was installed: cozystack-migrate stamp NUMBER"):
        cluster(packages=(PACKAGE,))


def test_where_migrations_are_off_a_lost_number_is_not_made_up(cluster: Cluster) -> None:
    assert cluster(packages=(PACKAGE,), enabled=False).of_kind("ConfigMap") == {}


def test_packages_of_somebody_else_do_not_make_a_cluster_an_old_one(cluster: Cluster) -> None:
    found = cluster(packages=({"metadata": {"name": "acme.anvil"}},))
    assert found.of_kind("ConfigMap").keys() == {"cozystack-version", "cozystack-migrations"}


@pytest.mark.parametrize("version", ["", "v3", "3.1", "-1"])
def test_a_version_that_is_no_number_stops_the_upgrade(version: str, cluster: Cluster) -> None:
    """packages-M8."""
    with pytest.raises(Exception, match=re.escape(f'version "{version}", which is not a number')):
        cluster(version=version)


# The end of a runner


def test_a_runner_gives_up_all_its_rights_with_these_rights_alone(cluster: Cluster) -> None:
    """packages-M7: on an API server that enforces roles, and collects what belongs to them."""
    granted = [item for item in cluster(version="56").objects if item["kind"] in ("Namespace", *TAKEN_AWAY)]

    async def play() -> None:
        admin, runner, lifecycle = served()
        collecting = asyncio.create_task(lifecycle.run())
        await admin.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="cozy-system")))
        for item in granted:
            await admin.create(RBAC[item["kind"]], item)
        await give_up_rights(runner, "cozystack-migrations", namespace="cozy-system")
        for resource in RBAC.values():
            while await admin.find(resource, key_in(resource)) is not None:
                await asyncio.wait((collecting,), timeout=0)
        with pytest.raises(Forbidden):
            await give_up_rights(runner, "cozystack-migrations", namespace="cozy-system")
        collecting.cancel()

    asyncio.run(asyncio.wait_for(play(), 20))


def served() -> tuple[Client, Client, Lifecycle]:
    """An administrator, the runner's account, and the garbage collector of a server that enforces roles."""
    storage = open_storage(None)
    objects = Objects(storage)
    lifecycle = Lifecycle(objects)
    lifecycle.start()
    bootstrap(objects)
    server = ApiServer(storage, objects=objects)
    account = User("system:serviceaccount:cozy-system:cozystack-migrations", ("system:serviceaccounts", "system:authenticated"))
    admin, runner = (Client(InProcess(server, user), clock=SystemClock()) for user in (ADMIN, account))
    return admin, runner, lifecycle


def key_in(resource: Resource[Any]) -> Key:
    return Key("cozy-system" if resource.namespaced else "", "cozystack-migrations")

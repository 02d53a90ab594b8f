"""What stands behind the Service of a webhook."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cozystack.apiserver.storage import Storage, open_storage
from cozystack.sandbox.endpoints import Endpoints

Obj = dict[str, Any]
COMMAND = ["python", "--leader-elect=true", "--webhook-bind-address=:9443"]


@pytest.fixture
def storage() -> Storage:
    return open_storage(None)


@pytest.fixture
def simulated() -> list[str]:
    return []


@pytest.fixture
def endpoints(storage: Storage, simulated: list[str]) -> Iterator[Endpoints]:
    found = Endpoints(storage, on_simulated=lambda service: simulated.append(service["metadata"]["name"]))
    yield found
    found.close()


def put(storage: Storage, resource: str, name: str, **content: Any) -> None:
    metadata = {"name": name, "namespace": "acme", "uid": f"uid-{name}", **content.pop("metadata", {})}
    storage.put(resource, "acme", name, {"metadata": metadata, **content})


def service(storage: Storage, target: int | str = 9443, **selector: str) -> None:
    put(storage, "/services", "hook", spec={"selector": selector, "ports": [{"port": 443, "targetPort": target}]})


def pod(storage: Storage, name: str, image: str, *, phase: str = "Running", **metadata: Any) -> None:
    container = {"name": "main", "image": image, "ports": [{"name": "https", "containerPort": 9443}]}
    metadata = {"labels": {"app": "hook"}, **metadata}
    put(storage, "/pods", name, metadata=metadata, spec={"containers": [container]}, status={"phase": phase})


def port_of(command: list[str]) -> str:
    return command[-1].removeprefix("--webhook-bind-address=")


@pytest.mark.parametrize("target", [9443, "https"])
def test_a_webhook_that_really_runs_is_found_on_loopback(storage: Storage, endpoints: Endpoints, target: int | str) -> None:
    service(storage, target, app="hook")
    pod(storage, "real", "example.org/cozystack:v1")
    moved = endpoints.move("uid-real", COMMAND)
    assert moved[:-1] == COMMAND[:-1]
    assert port_of(moved).startswith("127.0.0.1:")
    assert endpoints("acme", "hook", 443) == port_of(moved)


def test_a_restarted_program_keeps_its_port(endpoints: Endpoints) -> None:
    assert endpoints.move("uid-real", COMMAND) == endpoints.move("uid-real", COMMAND)
    assert endpoints.move("uid-other", COMMAND) != endpoints.move("uid-real", COMMAND)


def test_the_program_can_listen_on_the_port_that_is_held_for_it(endpoints: Endpoints) -> None:
    host, _, port = port_of(endpoints.move("uid-real", COMMAND)).partition(":")
    with socket.socket() as program:
        program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        program.bind((host, int(port)))
        program.listen()
        with socket.create_connection((host, int(port)), timeout=5):
            pass


def test_a_webhook_that_is_off_stays_off(endpoints: Endpoints) -> None:
    command = ["python", "--webhook-bind-address=0"]
    assert endpoints.move("uid-real", command) == command


def test_simulated_pods_admit_and_that_is_told(storage: Storage, endpoints: Endpoints, simulated: list[str]) -> None:
    service(storage, app="hook")
    pod(storage, "third-party", "example.org/other:v1")
    assert endpoints("acme", "hook", 443) is None
    assert simulated == ["hook"]


def test_what_really_runs_goes_before_what_is_simulated(storage: Storage, endpoints: Endpoints) -> None:
    service(storage, app="hook")
    pod(storage, "a-simulated", "example.org/other:v1")
    pod(storage, "real", "example.org/cozystack:v1")
    moved = endpoints.move("uid-real", COMMAND)
    assert endpoints("acme", "hook", 443) == port_of(moved)


def test_a_service_that_is_not_there_has_nothing_behind_it(endpoints: Endpoints) -> None:
    with pytest.raises(LookupError, match='service "hook" not found'):
        endpoints("acme", "hook", 443)


def test_a_service_without_that_port_has_nothing_behind_it(storage: Storage, endpoints: Endpoints) -> None:
    service(storage, app="hook")
    with pytest.raises(LookupError, match='no service port 8443 found for service "hook"'):
        endpoints("acme", "hook", 8443)


def test_a_service_without_pods_has_nothing_behind_it(storage: Storage, endpoints: Endpoints) -> None:
    service(storage, app="hook")
    pod(storage, "ended", "example.org/other:v1", phase="Succeeded")
    pod(storage, "going", "example.org/other:v1", deletionTimestamp="2026-01-01T00:00:00Z")
    pod(storage, "other", "example.org/other:v1", labels={"app": "other"})
    with pytest.raises(LookupError, match='no endpoints available for service "hook"'):
        endpoints("acme", "hook", 443)


def test_a_service_that_selects_nothing_has_nothing_behind_it(storage: Storage, endpoints: Endpoints) -> None:
    service(storage)
    pod(storage, "third-party", "example.org/other:v1")
    with pytest.raises(LookupError, match="no endpoints available"):
        endpoints("acme", "hook", 443)


def test_a_program_that_serves_no_webhook_is_no_endpoint(storage: Storage, endpoints: Endpoints) -> None:
    service(storage, app="hook")
    pod(storage, "real", "example.org/cozystack:v1")
    with pytest.raises(LookupError, match="nothing serves a webhook there"):
        endpoints("acme", "hook", 443)


def test_the_port_of_a_pod_that_is_gone_is_let_go(storage: Storage, endpoints: Endpoints) -> None:
    gone = port_of(endpoints.move("uid-gone", COMMAND))
    endpoints.move("uid-next", COMMAND)
    with socket.socket() as anybody:
        anybody.bind(("127.0.0.1", int(gone.rpartition(":")[2])))

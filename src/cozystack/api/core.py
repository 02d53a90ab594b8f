"""Built-in kinds of Kubernetes, as far as our programs read or write them with types."""

from __future__ import annotations

from msgspec import field

from cozystack.api.meta import Condition, Model, Object, Value


class NamespaceStatus(Model):
    phase: str = ""


class Namespace(Object, kw_only=True):
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


class Secret(Object, kw_only=True):
    """Values are base64 text, as on the wire; they are never logged."""

    type: str = ""
    data: dict[str, str] = {}
    immutable: bool = False

    def __repr__(self) -> str:
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, keys={sorted(self.data)})"


class ConfigMap(Object, kw_only=True):
    data: dict[str, str] = {}


class LeaseSpec(Model):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Object, kw_only=True):
    spec: LeaseSpec = field(default_factory=LeaseSpec)


class WorkloadCondition(Value, frozen=True):
    """Condition of a Deployment; unlike ``metav1.Condition`` it has no generation."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class DeploymentStatus(Model):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[WorkloadCondition, ...] = ()


class DeploymentSpec(Model):
    replicas: int = 1


class Deployment(Object, kw_only=True):
    spec: DeploymentSpec = field(default_factory=DeploymentSpec)
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


class CustomResourceDefinitionStatus(Model):
    conditions: tuple[Condition, ...] = ()


class CustomResourceDefinition(Object, kw_only=True):
    status: CustomResourceDefinitionStatus = field(default_factory=CustomResourceDefinitionStatus)


class ObjectReference(Value, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""


class EventSource(Value, frozen=True):
    component: str = ""


class Event(Object, kw_only=True):
    """``v1/Event``: what ``kubectl describe`` prints."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""
    reporting_instance: str = ""
    action: str = ""

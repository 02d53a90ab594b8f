"""ValidatingAdmissionPolicies, over HTTP: what they match, what has to hold, and what a failure means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.apiserver import Api, Obj, Widgets, config_map, embedded_only

GROUP = "/apis/admissionregistration.k8s.io/v1"
MARKER = "marker"


@dataclass(slots=True)
class Policies:
    """Policies that hold in the test's own namespace alone, under names of its own."""

    api: Api
    namespace: str
    made: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def name(self) -> str:
        return self.namespace

    def policy(self, *validations: Obj, **spec: Any) -> Obj:
        rules = spec.pop(
            "rules", [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}]
        )
        constraints = {"resourceRules": rules, **spec.pop("constraints", {})}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name},
            "spec": {"matchConstraints": constraints, "validations": list(validations), **spec},
        }

    def binding(self, *actions: str, **spec: Any) -> Obj:
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}}
        resources = {**here, **spec.pop("resources", {})}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.name},
            "spec": {
                "policyName": self.name,
                "validationActions": list(actions) or ["Deny"],
                "matchResources": resources,
                **spec,
            },
        }

    async def enforce(
        self, *validations: Obj, actions: tuple[str, ...] = ("Deny",), binding: Obj | None = None, **spec: Any
    ) -> None:
        """Create a policy with its binding, and wait until it is in force: then a marker is refused."""
        for kind, obj in (
            ("validatingadmissionpolicies", self.policy(*validations, **spec)),
            ("validatingadmissionpolicybindings", self.binding(*actions, **(binding or {}))),
        ):
            answer = await self.api.create(f"{GROUP}/{kind}", obj)
            assert answer.status == 201, answer.raw
            self.made.append(f"{GROUP}/{kind}/{self.name}")
        marker = config_map(MARKER, {"refuse": "me"}, labels={"on": "yes"})
        while not (answer := await self.api.create(self.path, marker, dryRun="All")).warnings and answer.status == 201:
            pass

    async def create(self, name: str = "one", data: dict[str, str] | None = None, **metadata: Any) -> str:
        """Create a ConfigMap; why it is refused."""
        answer = await self.api.create(self.path, config_map(name, data, **metadata))
        return "" if answer.status == 201 else self.why(answer)

    def why(self, answer: Any) -> str:
        start, _, rest = answer.body["message"].partition(
            f"ValidatingAdmissionPolicy '{self.name}' with binding '{self.name}' "
        )
        assert start.endswith(" is forbidden: "), answer.raw
        return str(rest.removeprefix("denied request: "))


@pytest.fixture
async def policies(server: Api, namespace: str) -> AsyncIterator[Policies]:
    found = Policies(server, namespace)
    yield found
    for path in reversed(found.made):
        await server.delete(path)


def holds(expression: str, **more: Any) -> Obj:
    return {"expression": expression, **more}


PARAMS = {"name": "limits", "parameterNotFoundAction": "Deny"}
NOT_MARKER = holds("object == null || object.metadata.name != 'marker'", message="the marker")


async def test_a_validation_that_does_not_hold_refuses_in_the_words_of_kubernetes(policies: Policies) -> None:
    await policies.enforce(holds("!has(object.data.refuse)"))
    answer = await policies.api.create(policies.path, config_map("one", {"refuse": "it"}))
    why = (
        f"ValidatingAdmissionPolicy '{policies.name}' with binding '{policies.name}' denied request: "
        "failed expression: !has(object.data.refuse)"
    )
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "one" is forbidden: {why}',
        "reason": "Invalid",
        "details": {"name": "one", "kind": "configmaps", "causes": [{"message": why}]},
        "code": 422,
    }
    assert await policies.create("two", {"keep": "it"}) == ""


@pytest.mark.parametrize(("reason", "code"), [("Forbidden", 403), ("RequestEntityTooLarge", 413), ("Invalid", 422)])
async def test_a_validation_gives_the_reason_of_its_refusal(policies: Policies, reason: str, code: int) -> None:
    await policies.enforce(holds("false", reason=reason, message="no"))
    answer = await policies.api.create(policies.path, config_map("one"))
    assert (answer.status, answer.body["reason"], policies.why(answer)) == (code, reason, "no")


async def test_a_message_can_be_an_expression_over_variables(policies: Policies) -> None:
    await policies.enforce(
        NOT_MARKER,
        holds("variables.size < 3", messageExpression="'%d keys are more than %d'.format([variables.size, 2])", message="many"),
        holds("variables.size < 4", messageExpression="string(1/0)", message="far too many"),
        variables=[
            {"name": "data", "expression": "object.?data.orValue({})"},
            {"name": "size", "expression": "variables.data.size()"},
        ],
    )
    keys = {"a": "1", "b": "2", "c": "3"}
    assert await policies.create("one", keys) == "3 keys are more than 2"
    assert await policies.create("two", {"a": "1"}) == ""


async def test_a_warning_lets_the_write_pass(policies: Policies) -> None:
    await policies.enforce(holds("!has(object.data)", message="has data"), actions=("Warn", "Audit"))
    answer = await policies.api.create(policies.path, config_map("one", {"a": "1"}))
    text = f"Validation failed for ValidatingAdmissionPolicy '{policies.name}' with binding '{policies.name}': has data"
    assert (answer.status, answer.warnings) == (201, [f'299 - "{text}"'])


async def test_a_deletion_is_judged_by_the_old_object(policies: Policies) -> None:
    assert await policies.create("kept", labels={"protected": "true"}) == ""
    assert await policies.create("free") == ""
    await policies.enforce(
        NOT_MARKER,
        holds(
            "request.operation != 'DELETE' || !('protected' in oldObject.metadata.?labels.orValue({}))",
            messageExpression="oldObject.metadata.name + ' is protected'",
            reason="Forbidden",
        ),
    )
    answer = await policies.api.delete(f"{policies.path}/kept")
    assert (answer.status, policies.why(answer)) == (403, "kept is protected")
    assert (await policies.api.delete(f"{policies.path}/free")).status == 200
    assert (await policies.api.patch(f"{policies.path}/kept", {"metadata": {"labels": {"protected": None}}})).status == 200
    assert (await policies.api.delete(f"{policies.path}/kept")).status == 200


async def test_a_change_is_judged_by_both_objects(policies: Policies) -> None:
    assert await policies.create("one", {"fixed": "1"}) == ""
    await policies.enforce(NOT_MARKER, holds("oldObject == null || object.data.fixed == oldObject.data.fixed", message="fixed"))
    answer = await policies.api.patch(f"{policies.path}/one", {"data": {"fixed": "2"}})
    assert (answer.status, policies.why(answer)) == (422, "fixed")
    assert (await policies.api.apply(f"{policies.path}/one", {**config_map("one", {"more": "1"})})).status == 200


async def test_conditions_narrow_what_a_policy_is_asked_about(policies: Policies) -> None:
    await policies.enforce(
        holds("false", message="on"),
        matchConditions=[
            {"name": "labelled", "expression": "object.metadata.?labels.on.orValue('') == 'yes'"},
            {"name": "somebody", "expression": "request.userInfo.username != ''"},
        ],
    )
    assert await policies.create("one", labels={"on": "yes"}) == "on"
    assert await policies.create("two") == ""


@pytest.mark.parametrize(("policy", "status"), [("Fail", 422), ("Ignore", 201)])
async def test_a_validation_without_a_value_follows_the_failure_policy(policies: Policies, policy: str, status: int) -> None:
    await policies.enforce(NOT_MARKER, holds("object.data.missing == 'x'"), failurePolicy=policy)
    answer = await policies.api.create(policies.path, config_map("one", {"a": "1"}))
    assert answer.status == status
    if status == 422:
        assert policies.why(answer) == "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"


async def test_the_selectors_of_policy_and_binding_both_count(policies: Policies) -> None:
    await policies.enforce(
        holds("false", message="both"),
        constraints={"objectSelector": {"matchLabels": {"on": "yes"}}},
        binding={
            "resources": {
                "excludeResourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["*"],
                        "resources": ["configmaps"],
                        "operations": ["*"],
                        "resourceNames": ["spared"],
                    }
                ]
            }
        },
    )
    assert await policies.create("one", labels={"on": "yes"}) == "both"
    assert await policies.create("two") == ""
    assert await policies.create("spared", labels={"on": "yes"}) == ""


async def test_parameters_come_by_name(policies: Policies) -> None:
    assert await policies.create("limits", {"most": "2"}) == ""
    await policies.enforce(
        NOT_MARKER,
        holds("object == null || object.?data.orValue({}).size() <= int(params.data.most)", message="too many"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}},
    )
    assert await policies.create("one", {"a": "1", "b": "2", "c": "3"}) == "too many"
    assert await policies.create("two", {"a": "1"}) == ""


@embedded_only("a real server knows a new kind of parameters only after half a minute")
async def test_every_parameter_that_a_selector_finds_is_asked(policies: Policies, widgets: Widgets) -> None:
    for name, word in (("short", "a"), ("long", "b")):
        widget = widgets.widget(name, {"color": word})
        widget["metadata"]["labels"] = {"words": "yes"}
        assert (await policies.api.create(widgets.path, widget)).status == 201
    has_it = "params.spec.color in object.?data.orValue({})"
    await policies.enforce(
        NOT_MARKER,
        holds(f"object == null || !({has_it})", messageExpression="'not ' + params.spec.color"),
        paramKind={"apiVersion": f"{widgets.group}/v1", "kind": "Widget"},
        binding={"paramRef": {"selector": {"matchLabels": {"words": "yes"}}, "parameterNotFoundAction": "Allow"}},
    )
    assert [await policies.create(name, {name: "1"}) for name in "abc"] == ["not a", "not b", ""]


@embedded_only("a policy that cannot be configured would refuse the writes of other tests too")
async def test_parameters_of_a_kind_that_does_not_exist_refuse(policies: Policies) -> None:
    await policies.enforce(
        holds("true"), paramKind={"apiVersion": "acme.io/v1", "kind": "Gadget"}, binding={"paramRef": PARAMS}
    )
    answer = await policies.api.create(policies.path, config_map("one"))
    why = "failed to configure policy: failed to find resource referenced by paramKind: 'acme.io/v1, Kind=Gadget'"
    message = f"configmaps \"one\" is forbidden: ValidatingAdmissionPolicy '{policies.name}' denied request: {why}"
    assert (answer.status, answer.body["message"]) == (422, message)


async def test_missing_parameters_refuse_unless_they_may_be_missing(policies: Policies) -> None:
    await policies.enforce(
        holds("params.data.x == 'y'"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "absent", "parameterNotFoundAction": "Deny"}},
    )
    why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert await policies.create("one") == why


async def test_an_expression_can_ask_what_the_caller_may_do(policies: Policies) -> None:
    await policies.enforce(
        NOT_MARKER,
        holds(
            "authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()", message="may not"
        ),
        holds("authorizer.requestResource.check('create').allowed()", message="may not create"),
        holds(
            "!authorizer.serviceAccount('kube-system', 'nobody').group('').resource('pods').check('get').allowed()",
            message="nobody may",
        ),
    )
    assert await policies.create("one") == ""


async def test_an_expression_sees_the_namespace_and_the_request(policies: Policies) -> None:
    await policies.enforce(
        NOT_MARKER,
        holds("namespaceObject.metadata.name == request.namespace", message="namespace"),
        holds("request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'", message="kind"),
        holds(
            "request.operation == 'CREATE' && request.name == 'one' && request.dryRun == false && oldObject == null",
            message="request",
        ),
    )
    assert await policies.create("one") == ""


async def test_a_policy_without_a_binding_says_nothing(policies: Policies) -> None:
    answer = await policies.api.create(f"{GROUP}/validatingadmissionpolicies", policies.policy(holds("false")))
    policies.made.append(f"{GROUP}/validatingadmissionpolicies/{policies.name}")
    assert (answer.status, await policies.create("one")) == (201, "")


async def test_a_policy_is_stored_with_its_defaults(policies: Policies) -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}]
    answer = await policies.api.create(f"{GROUP}/validatingadmissionpolicies", policies.policy(holds("true"), rules=rules))
    policies.made.append(f"{GROUP}/validatingadmissionpolicies/{policies.name}")
    assert answer.body["spec"] == {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{**rules[0], "scope": "*"}],
        },
        "validations": [{"expression": "true"}],
    }


def not_compiled(text: str, column: int, why: str) -> str:
    """What is said of the first validation."""
    shown = f"ERROR: <input>:1:{column}: {why}\n | {text}\n | {'.' * (column - 1)}^"
    return f'spec.validations[0].expression: Invalid value: "{text}": compilation failed: {shown}'


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (
            {"validations": [holds("object.x.y()")]},
            not_compiled("object.x.y()", 11, "undeclared reference to 'y' (in container '')"),
        ),
        (
            {"validations": [holds("'text'")]},
            "spec.validations[0].expression: Invalid value: \"'text'\": must evaluate to bool but got string",
        ),
        ({"validations": [holds("request.nope")]}, not_compiled("request.nope", 8, "undefined field 'nope'")),
        (
            {"validations": [holds("true", messageExpression="1")]},
            'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int',
        ),
        (
            {"validations": [holds("variables.x == 1")], "variables": [{"name": "x", "expression": "'a'"}]},
            not_compiled("variables.x == 1", 13, "found no matching overload for '_==_' applied to '(string, int)'"),
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "1"}]},
            'spec.matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int',
        ),
        ({"matchConstraints": None}, "spec.matchConstraints: Required value"),
        (
            {"validations": [holds("params.x")]},
            not_compiled("params.x", 1, "undeclared reference to 'params' (in container '')"),
        ),
    ],
)
async def test_a_bad_policy_is_refused(policies: Policies, spec: Obj, fault: str) -> None:
    obj = policies.policy(holds("true"))
    obj["spec"] |= spec
    answer = await policies.api.create(f"{GROUP}/validatingadmissionpolicies", obj)
    assert answer.status == 422, answer.raw
    cause = answer.body["details"]["causes"][0]
    assert f"{cause['field']}: {cause['message']}" == fault


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"validationActions": ["Deny", "Warn"]}, "spec.validationActions"),
        ({"validationActions": []}, "spec.validationActions"),
        ({"validationActions": ["Deny", "Deny"]}, "spec.validationActions[1]"),
        ({"policyName": ""}, "spec.policyName"),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "spec.paramRef"),
        ({"paramRef": {"name": "a"}}, "spec.paramRef.parameterNotFoundAction"),
    ],
)
async def test_a_bad_binding_is_refused(policies: Policies, spec: Obj, field: str) -> None:
    obj = policies.binding()
    obj["spec"] |= spec
    answer = await policies.api.create(f"{GROUP}/validatingadmissionpolicybindings", obj)
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (422, field)


@embedded_only("the status comes from kube-controller-manager, later")
async def test_the_status_says_what_is_wrong_for_the_kinds_that_are_named(policies: Policies) -> None:
    path = f"{GROUP}/validatingadmissionpolicies"
    answer = await policies.api.create(path, policies.policy(holds("object.metadata.nope == 1")))
    policies.made.append(f"{path}/{policies.name}")
    assert answer.body["status"] == {
        "observedGeneration": 1,
        "typeChecking": {
            "expressionWarnings": [
                {
                    "fieldRef": "spec.validations[0].expression",
                    "warning": "v1, Kind=ConfigMap: ERROR: <input>:1:16: undefined field 'nope'\n"
                    " | object.metadata.nope == 1\n | ...............^",
                }
            ]
        },
    }

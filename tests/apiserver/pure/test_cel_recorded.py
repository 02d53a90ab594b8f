"""CEL as kube-apiserver has it: values, types, costs, estimates and messages, compared with what its own libraries answered.

The recording and how it is made: ``test_cel_recorded/``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cozystack.apiserver.cel import CompileError, Environment, EvalError
from cozystack.apiserver.cel.declarations import declare
from cozystack.apiserver.cel.definitions import rule_errors
from cozystack.apiserver.cel.library.standard import shown_double
from cozystack.apiserver.cel.rules import evaluate, validator
from cozystack.apiserver.cel.types import Type
from cozystack.apiserver.cel.values import TypeValue, name_of

Obj = dict[str, Any]

RECORDED = Path(__file__).parent / "test_cel_recorded"
# What is different, and known to be (docs/design/cel.md).
GAPS = {"ip('1.2.3')", r"'\z'"}


def _lines(name: str) -> list[Obj]:
    return [json.loads(line) for line in (RECORDED / name).read_text().splitlines()]


QUESTIONS = list(zip(_lines("questions.jsonl"), _lines("answers.jsonl"), strict=True))
EXPRESSIONS = [(question["expr"], answer) for question, answer in QUESTIONS if "expr" in question]
VALIDATIONS = [(question, answer) for question, answer in QUESTIONS if question.get("mode") == "validate"]
DEFINITIONS = [(question["crd"], answer) for question, answer in QUESTIONS if question.get("mode") == "crd"]


@pytest.fixture(scope="module")
def subject() -> tuple[Environment, Any]:
    raw = json.loads((RECORDED / "subject.json").read_text())
    declared = declare(raw["schema"], "selfType")
    assert declared is not None
    variables = {"self": declared.type, "oldSelf": declared.type}
    environment = Environment(variables, fields=declared.struct_fields(), sizes=declared.sizes)
    return environment, declared.value(raw["self"])


def answered(environment: Environment, value: Any, text: str) -> Obj:
    """An answer as the recorder gives it, without what is zero or empty."""
    try:
        program = environment.compile(text)
    except CompileError as error:
        return {"compile": str(error).replace("program instantiation failed: ", "program: ")}
    found: Obj = {"type": _named(program.type), "min": program.cost.low, "max": program.cost.high}
    try:
        result, cost = program.evaluate({"self": value})
    except EvalError as error:
        return {**found, "error": str(error)}
    return {**found, "value": _shown(result), "cost": cost}


def _named(type_: Type) -> str:
    return f"{type_.name}({', '.join(map(_named, type_.params))})" if type_.params else type_.name


def _shown(value: Any) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"list [{' '.join(map(_shown, value))}]"
        case dict():
            return "map map"
        case bool():
            return f"bool {str(value).lower()}"
        case None:
            return "null_type NULL_VALUE"
        case float():
            return f"double {shown_double(value)}"
        case TypeValue():
            return f"type {value.name}"
    return f"{name_of(value)} {value}"


def expected(answer: Obj) -> Obj:
    """What is compared: costs of evaluations that fail are not, nor values that Go prints in its own way."""
    if "compile" in answer:
        return {"compile": answer["compile"]}
    found = {name: answer[name] for name in ("type", "min", "max")}
    if "error" in answer:
        return {**found, "error": answer["error"]}
    return {**found, "value": answer["value"], "cost": answer["cost"]}


@pytest.mark.parametrize(("text", "answer"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_an_expression_is_what_it_is_for_kubernetes(subject: tuple[Environment, Any], text: str, answer: Obj) -> None:
    found, wanted = answered(*subject, text), expected(answer)
    if "value" in wanted and not wanted["value"].startswith(("bool", "int", "uint", '"', "double", "list", "type")):
        found["value"] = wanted["value"]
    assert (found == wanted) is (text not in GAPS), (found, wanted)


def _plain(texts: list[str] | None) -> list[str]:
    """Faults in one order, with types named without the random number that kube-apiserver gives them."""
    return sorted(re.sub(r"selfType\d+", "selfType", text) for text in texts or ())


@pytest.mark.parametrize(("question", "answer"), VALIDATIONS)
def test_rules_say_what_they_say_for_kubernetes(question: Obj, answer: Obj) -> None:
    rules = validator(question["schema"], root=question["root"])
    assert rules is not None
    found = evaluate(rules, question["self"], question["old"])
    errors = [str(error).replace("selfType.spec.", "selfType.") for error in found.errors]
    assert (_plain(errors), _plain(found.warnings)) == (_plain(answer.get("errors")), _plain(answer.get("warnings")))
    if not any("evaluating rule" in text or "overload" in text or "string(1/0)" in str(question) for text in errors):
        assert found.budget == answer["remaining"]


@pytest.mark.parametrize(("crd", "answer"), DEFINITIONS)
def test_definitions_are_refused_for_what_kubernetes_refuses_them_for(crd: Obj, answer: Obj) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert _plain([str(error) for error in rule_errors(schema, "spec.validation.openAPIV3Schema")]) == _plain(
        answer.get("errors")
    )

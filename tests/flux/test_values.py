"""Values are laid over each other in their order, and no message holds one."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cozystack.api.flux import HelmRelease, HelmReleaseSpec, ValuesFrom
from cozystack.api.meta import Key, ObjectMeta
from cozystack.flux.values import Read, ValuesError, compose, digest_of_values


def reader(**objects: dict[str, str]) -> Read:
    """ConfigMaps and Secrets of the namespace ``ns`` by name; data as the API gives it."""

    async def read(kind: str, key: Key) -> dict[str, str] | None:
        assert key.namespace == "ns"
        return objects.get(f"{kind}_{key.name}")

    return read


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def release(*references: ValuesFrom, **values: Any) -> HelmRelease:
    spec = HelmReleaseSpec(interval="5m", values_from=references, values=values)
    return HelmRelease(metadata=ObjectMeta(name="app", namespace="ns"), spec=spec)


async def composed(*references: ValuesFrom, read: Read, **values: Any) -> dict[str, Any]:
    return await compose(release(*references, **values), read)


async def refused(*references: ValuesFrom, read: Read) -> str:
    with pytest.raises(ValuesError) as caught:
        await compose(release(*references), read)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


async def test_later_references_win_and_own_values_last() -> None:
    read = reader(
        ConfigMap_a={"values.yaml": "x: 1\nm: {a: 1, b: 1}\nlist: [1, 2]"},
        Secret_b={"values.yaml": b64("x: 2\nm: {b: 2, c: 2}\nlist: [3]")},
    )
    references = (ValuesFrom("ConfigMap", "a"), ValuesFrom("Secret", "b"))
    assert await composed(*references, read=read, m={"c": 3}) == {"x": 2, "m": {"a": 1, "b": 2, "c": 3}, "list": [3]}
    assert await composed(*reversed(references), read=read, m={"c": 3}) == {
        "x": 1,
        "m": {"a": 1, "b": 1, "c": 3},
        "list": [1, 2],
    }


async def test_a_null_of_its_own_values_is_kept_for_helm() -> None:
    read = reader(ConfigMap_a={"values.yaml": "x: {y: 1}"})
    assert await composed(ValuesFrom("ConfigMap", "a"), read=read, x=None) == {"x": None}


async def test_the_key_can_be_named_and_an_empty_text_is_no_values() -> None:
    read = reader(ConfigMap_a={"other.yaml": "x: 1", "empty": "", "values.yaml": "x: 2"})
    assert await composed(ValuesFrom("ConfigMap", "a", "other.yaml"), read=read) == {"x": 1}
    assert await composed(ValuesFrom("ConfigMap", "a", "empty"), read=read) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("secret", "secret"),
        ("8080", 8080),
        ("-1", -1),
        ("1.5", "1.5"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("true", True),
        ("false\n", False),
        ("True", "True"),
        ("null", None),
        ("'true'", "true"),
        ('"8080"', "8080"),
        ("", ""),
        ("'", "'"),
        ("a: b", "a: b"),
        ("line\nline\n", "line\nline\n"),
    ],
)
async def test_a_target_path_takes_the_text_as_set_does(text: str, value: Any) -> None:
    read = reader(Secret_s={"k": b64(text)}, ConfigMap_a={"values.yaml": "db: {user: me}"})
    references = (ValuesFrom("ConfigMap", "a"), ValuesFrom("Secret", "s", "k", "db.password"))
    assert await composed(*references, read=read) == {"db": {"user": "me", "password": value}}


async def test_a_dot_in_a_target_path_is_escaped() -> None:
    read = reader(ConfigMap_a={"k": "x"})
    reference = ValuesFrom("ConfigMap", "a", "k", r"labels.acme\.io/name")
    assert await composed(reference, read=read) == {"labels": {"acme.io/name": "x"}}


async def test_what_is_optional_may_be_missing_but_not_its_key() -> None:
    read = reader(ConfigMap_a={"other": "x: 1"})
    assert await composed(ValuesFrom("Secret", "none", optional=True), read=read, x=1) == {"x": 1}
    assert await refused(ValuesFrom("ConfigMap", "a", optional=True), read=read) == (
        "could not resolve ConfigMap values reference 'ns/a': it has no key \"values.yaml\""
    )


async def test_what_is_missing_is_named() -> None:
    read = reader(Secret_s={})
    assert await refused(ValuesFrom("Secret", "none"), read=read) == (
        "could not resolve Secret values reference 'ns/none': it is not there"
    )
    assert await refused(ValuesFrom("Secret", "s", "k"), read=read) == (
        "could not resolve Secret values reference 'ns/s': it has no key \"k\""
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b64("a: 1\nb: ]hunter2"), "Secret 'ns/s', key \"values.yaml\", line 2: not YAML"),
        (b64("hunter2"), "Secret 'ns/s', key \"values.yaml\" does not hold a map"),
        (b64("- hunter2"), "Secret 'ns/s', key \"values.yaml\" does not hold a map"),
        (b64(b"\xffhunter2"), "the Secret 'ns/s' holds something that is not text"),
        ("hunter2!", "the Secret 'ns/s' holds something that is not text"),
    ],
)
async def test_a_message_says_where_and_never_what(data: str, message: str) -> None:
    assert await refused(ValuesFrom("Secret", "s"), read=reader(Secret_s={"values.yaml": data})) == message


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of_values({"a": 1, "b": {"c": [1], "d": "ä"}}) == digest_of_values({"b": {"d": "ä", "c": [1]}, "a": 1})
    assert digest_of_values({"a": 1}) != digest_of_values({"a": "1"})
    assert digest_of_values({}).startswith("sha256:")

"""Equal parts of PackageSources are kept once, and every source still says what it said."""

from __future__ import annotations

import msgspec

from cozystack.api.cozystack import PackageSource
from cozystack.operator.sharing import shared_parts
from support.operator import Obj, component, source


def decoded(obj: Obj) -> PackageSource:
    return msgspec.json.decode(msgspec.json.encode(obj), type=PackageSource)


def test_sources_say_the_same_with_their_parts_shared() -> None:
    parts = {"libraries": ["cozy-lib"], "valuesFiles": ["values.yaml", "values-extra.yaml"]}
    objects = [
        source(name, {**component("db"), **parts}, {**component("ui"), **parts}, libraries=[{"path": "library/cozy-lib"}])
        for name in ("acme.one", "acme.two")
    ]
    transform = shared_parts()
    one, two = (transform(decoded(obj)).object for obj in objects)
    assert [one, two] == [decoded(obj) for obj in objects]
    (here,), (there,) = one.spec.variants, two.spec.variants
    assert here.libraries is there.libraries
    found = [*here.components, *there.components]
    assert len({id(each.libraries) for each in found}) == len({id(each.values_files) for each in found}) == 1


def test_what_a_source_says_in_its_own_words_stays_its_own() -> None:
    transform = shared_parts()
    plain = transform(decoded(source("acme.one", component("db")))).object
    other = transform(decoded(source("acme.two", {**component("db"), "valuesFiles": ["other.yaml"]}))).object
    values_files = [each.spec.variants[0].components[0].values_files for each in (plain, other)]
    assert values_files == [(), ("other.yaml",)]

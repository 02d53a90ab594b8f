"""What a Pod asks for altogether, and what it may have: containers together, and the most of what runs before them."""

from __future__ import annotations

from typing import Any, Final, Literal

from cozystack.apiserver.quantities import NOTHING, Quantity, plus, quantity

Obj = dict[str, Any]
Amounts = dict[str, Quantity]

_OF_PODS: Final = ("cpu", "memory")


def of_pod(spec: Obj, field: Literal["requests", "limits"]) -> Amounts:
    """The amounts of a whole Pod, by resource."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add(total, read((container.get("resources") or {}).get(field)))
    beside: Amounts = {}
    before: Amounts = {}
    for container in spec.get("initContainers") or ():
        wanted = read((container.get("resources") or {}).get(field))
        if container.get("restartPolicy") == "Always":
            add(total, wanted)
            add(beside, wanted)
            wanted = beside
        else:
            add(wanted, beside)
        _most(before, wanted)
    _most(total, before)
    whole = read((spec.get("resources") or {}).get(field))
    return total | {name: amount for name, amount in whole.items() if name in _OF_PODS}


def read(amounts: Obj | None) -> Amounts:
    return {name: quantity(str(text)) for name, text in (amounts or {}).items()}


def add(total: Amounts, more: Amounts) -> None:
    """Add ``more`` to ``total``."""
    for name, amount in more.items():
        total[name] = plus(total.get(name, NOTHING), amount)


def _most(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if name not in total or amount.number > total[name].number:
            total[name] = amount

"""What is kept of ``managedFields``: nothing, or exactly what later decisions need.

The field sets are about half of every object and nobody reads most of them; an informer that keeps them doubles its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from cozystack.kube.store import Entry

T = TypeVar("T")


def forget(obj: T) -> Entry[T]:
    """The object without its ``managedFields``. The default of every informer."""
    raise NotImplementedError


def ownership(managers: Collection[str], legacy: Collection[str] = ()) -> Callable[[T], Entry[T]]:
    """A transform that keeps what each of ``managers`` applied, and whether one of ``legacy`` wrote by ``Update``.

    Field sets are interned: a thousand objects of one shape share one ``bytes`` object.
    """
    raise NotImplementedError

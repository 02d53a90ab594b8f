"""Delete what the deletion guard refuses, after a person has confirmed that very deletion (packages-G1).

The guard is asked first, so that nothing is changed on an object that can be deleted as it is. The guard of the original is of
the same name and refuses everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cozystack.api.names import NO_DELETE_LABEL
from cozystack.cozypkg.session import MANAGER

if TYPE_CHECKING:
    from cozystack.api.meta import Key
    from cozystack.api.resources import Resource
    from cozystack.kube import Client
    from cozystack.kube.client import Propagation

GUARD: Final = "cozystack-no-delete-guardrail"
UNLABELLED: Final = {"labels": {NO_DELETE_LABEL: None}}
"""Metadata of a patch that takes the label off."""


async def delete_confirmed(
    client: Client, resource: Resource[Any], key: Key, *, uid: str = "", propagation: Propagation | None = None
) -> None:
    """Delete; where the guard says no, without the label. Raises ``ApiError`` as a deletion does."""
    from cozystack.kube.errors import ApiError

    try:
        await client.delete(resource, key, uid=uid, propagation=propagation)
    except ApiError as error:
        if GUARD not in error.message:
            raise
        metadata = {**UNLABELLED, **({"uid": uid} if uid else {})}
        await client.patch(resource, key, {"metadata": metadata}, manager=MANAGER)
        await client.delete(resource, key, uid=uid, propagation=propagation)

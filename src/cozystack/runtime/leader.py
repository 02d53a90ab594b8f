"""Leader election by a Lease: one of several processes acts, the others wait.

The semantics are client-go's. A candidate never trusts the times in the Lease: it takes over when the record has not *changed*
for ``lease_duration`` on its own monotonic clock. A leader gives up, by itself, ``renew_deadline`` after it began its last
successful renewal. So clocks that differ do no harm; clocks that *run* at different speeds do when one is
``lease_duration / renew_deadline`` times faster.

Fencing: a leader that is suspended (a frozen VM) for longer than the lease may send one more write after it wakes, before it
notices. Writes are therefore made so that this is harmless: server-side applies of a plan computed from what the server holds,
and deletes with preconditions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from cozystack.kube.client import Client
from cozystack.kube.clock import Clock


class LeadershipLost(Exception):  # noqa: N818
    """The lease could not be renewed in time; what ran under it has been cancelled."""


class LeaderElector:
    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        random: Random,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        on_new_leader: Callable[[str], None] | None = None,
    ) -> None:
        self.identity = identity

    @property
    def leading(self) -> bool:
        """We hold the lease, and our own deadline has not passed."""
        raise NotImplementedError

    @property
    def holder(self) -> str:
        """Identity of the last leader seen; empty if none."""
        raise NotImplementedError

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run ``lead`` while renewing; return when it returns.

        Raises ``LeadershipLost`` (``lead`` was cancelled first) when the lease could not be renewed. Releases the lease when
        ``lead`` ends in any other way, cancellation included.
        """
        raise NotImplementedError

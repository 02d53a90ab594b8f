"""Leader election by a Lease: one of several processes acts, the others wait.

The semantics are client-go's. A candidate never trusts the times in the Lease: it takes over when the record has not *changed*
for ``lease_duration`` on its own monotonic clock. A leader gives up by itself ``renew_deadline`` after it *began* its last
successful renewal, even when a request hangs. So clocks that differ do no harm; clocks that *run* at different speeds do only
when one is ``lease_duration / renew_deadline`` times faster.

Fencing: ``leading`` is checked against the clock, and asked before each write (``Client.fenced``): what is told to stop may
finish its running step first. A leader whose machine stands still for longer than the lease may all the same send one more
write after it wakes, before it notices. No lease can prevent that. Writes are therefore made so that it is harmless:
server-side applies of a plan computed from what the server holds, deletes and replaces with preconditions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from msgspec.structs import replace

from cozystack.api.core import Lease, LeaseSpec
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import LEASES
from cozystack.api.time import format_micro_time
from cozystack.kube.client import Client
from cozystack.kube.clock import Clock, within
from cozystack.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from cozystack.runtime.logging import Log


class LeadershipLost(Exception):  # noqa: N818
    """The lease could not be renewed in time; what ran under it has been cancelled."""


class LeaderElector:
    """One candidate. ``identity`` must differ between processes, restarts included (a host name and a random part).

    ``place``, if given, is how the identities of all begin that can only have run before us where we run now, such as in an
    earlier container of this very Pod: the lease of such a holder is taken over without waiting for its time to pass.
    """

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
        place: str = "",
        on_new_leader: Callable[[str], None] | None = None,
    ) -> None:
        if place and not identity.startswith(place):
            raise ValueError("the identity must begin with the place")
        if not lease_duration > renew_deadline > retry_period > 0:
            raise ValueError("lease duration > renew deadline > retry period > 0 is needed")
        self.identity = identity
        self._client = client
        self._key = Key(namespace, name)
        self._clock = clock
        self._random = random
        self._duration = lease_duration
        self._deadline = renew_deadline
        self._retry = retry_period
        self._place = place
        self._on_new_leader = on_new_leader
        self._log = Log("cozystack.leader", lease=str(self._key), identity=identity)
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._valid_until = 0.0
        self._holder = ""

    @property
    def leading(self) -> bool:
        """We hold the lease, and our own deadline has not passed."""
        return self._clock.monotonic() < self._valid_until

    @property
    def holder(self) -> str:
        """Identity of the last leader seen; empty if none."""
        return self._holder

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run ``lead`` while renewing; return when it returns.

        Raises ``LeadershipLost`` (``lead`` was cancelled first) when the lease could not be renewed. Releases the lease when
        ``lead`` ends in any other way, cancellation included.
        """
        await self._acquire()
        self._log.info("became the leader")
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not leading.done():
                self._log.error("lost the lease, stopping")
        finally:
            await _cancelled(leading)
            lost = renewing.done()
            await _cancelled(renewing)
            if not lost:
                await self._release()
            self._valid_until = 0.0
        if lost:
            renewing.result()
        if leading.cancelled():
            raise LeadershipLost(f"the lease {self._key} could not be renewed within {self._deadline:g} s")
        leading.result()

    async def _acquire(self) -> None:
        """Try until we hold the lease; what fails is tried again."""
        waiting = False
        while not await self._attempt():
            if not waiting:
                self._log.info("waiting for the lease", holder=self._holder)
                waiting = True
            await self._clock.sleep(self._retry * self._random.uniform(1.0, 2.2))

    async def _renew(self) -> None:
        """Renew until it has failed for too long; returns at our own deadline."""
        while True:
            await self._clock.sleep(min(self._retry, max(0.0, self._valid_until - self._clock.monotonic())))
            left = self._valid_until - self._clock.monotonic()
            if left <= 0:
                return
            try:
                held = await within(self._clock, left, self._attempt())
            except TimeoutError:
                return
            if not held and self._holder != self.identity:
                return

    async def _attempt(self) -> bool:
        """Acquire or renew once; False if somebody else holds the lease or the request failed."""
        began = self._clock.monotonic()
        try:
            if self._seen is None or not self.leading:
                await self._look()
            if self._seen is not None and not self._free(self._seen):
                return False
            lease = await self._write(self._wanted())
        except (AlreadyExists, Conflict, NotFound):
            with suppress(KubeError):
                await self._look()
            return False
        except KubeError as error:
            self._log.warning("the lease cannot be reached", reason=str(error))
            return False
        self._note(lease)
        self._valid_until = began + self._deadline
        return True

    async def _look(self) -> None:
        """Read the record. One that is gone was deleted by somebody; who held it may not know yet, so its time runs on."""
        lease = await self._client.find(LEASES, self._key)
        if lease is not None:
            self._note(lease)
        elif self._seen is not None:
            self._seen = replace(self._seen, metadata=self._metadata)

    def _note(self, lease: Lease) -> None:
        """Remember a record, and when it was first seen like this."""
        if self._seen is None or lease.spec != self._seen.spec:
            self._seen_at = self._clock.monotonic()
        self._seen = lease
        holder = lease.spec.holder_identity or ""
        if holder != self._holder:
            self._holder = holder
            if holder and self._on_new_leader is not None:
                self._on_new_leader(holder)

    def _free(self, lease: Lease) -> bool:
        holder = lease.spec.holder_identity
        if not holder or holder == self.identity or (self._place and holder.startswith(self._place)):
            return True
        duration = lease.spec.lease_duration_seconds or self._duration
        return self._clock.monotonic() >= self._seen_at + duration

    def _wanted(self) -> Lease:
        """The record that says that we lead, on top of the one that was seen."""
        now = format_micro_time(self._clock.now())
        seen = self._seen
        if seen is None:
            spec = LeaseSpec(self.identity, self._whole_duration, now, now, 0)
            return Lease(metadata=self._metadata, spec=spec)
        ours = seen.spec.holder_identity == self.identity
        transitions = seen.spec.lease_transitions or 0
        spec = LeaseSpec(
            self.identity,
            self._whole_duration,
            (seen.spec.acquire_time or now) if ours else now,
            now,
            transitions if ours else transitions + 1,
        )
        return replace(seen, spec=spec)

    @property
    def _metadata(self) -> ObjectMeta:
        return ObjectMeta(name=self._key.name, namespace=self._key.namespace)

    @property
    def _whole_duration(self) -> int:
        return max(1, round(self._duration))

    async def _write(self, lease: Lease) -> Lease:
        if lease.metadata.resource_version:
            return await self._client.replace(LEASES, lease)
        return await self._client.create(LEASES, lease)

    async def _release(self) -> None:
        """Give the lease away, so that the next leader need not wait; a failure only costs it that wait."""
        if self._seen is None or self._seen.spec.holder_identity != self.identity or not self.leading:
            return
        now = format_micro_time(self._clock.now())
        spec = LeaseSpec("", 1, now, now, self._seen.spec.lease_transitions)
        left = self._valid_until - self._clock.monotonic()
        # Whoever gets it may have it before the answer is here.
        self._valid_until = 0.0
        try:
            await within(self._clock, left, self._client.replace(LEASES, replace(self._seen, spec=spec)))
            self._log.info("released the lease")
        except (KubeError, TimeoutError) as error:
            self._log.warning("the lease could not be released", reason=str(error))


async def _cancelled(task: asyncio.Future[None]) -> None:
    """Cancel and wait for the end, whatever it is."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))

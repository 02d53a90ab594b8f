"""A registry for the command line: ours, on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cozystack.oci import Registry


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Its host and port; what is pushed is kept in ``folder``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = Registry(folder)
    try:
        yield f"127.0.0.1:{asyncio.run_coroutine_threadsafe(served.start(), loop).result(20)}"
    finally:
        asyncio.run_coroutine_threadsafe(served.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()

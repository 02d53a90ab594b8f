"""Serve an application of aiohttp on a port that two processes of one host may share.

During a rollout the old and the new Pod may be on one node; the kernel spreads connections over both.
"""

from __future__ import annotations

import ssl

from aiohttp import web


async def listen(
    app: web.Application, host: str | None, port: int, *, tls: ssl.SSLContext | None, patience: float
) -> tuple[web.AppRunner, int]:
    """The runner, to be cleaned up, and the port; raises ``OSError`` when that is not possible now.

    ``patience``: seconds that requests may take on when it ends.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls, reuse_port=True).start()
    except OSError:
        await runner.cleanup()
        raise
    bound: int = runner.addresses[0][1]
    return runner, bound

"""The certificate of the metrics listener: from a folder, as Secrets are mounted, or one of its own.

Whoever scrapes can verify the first kind; the second only keeps what is sent from being read. Either is looked after while the
listener runs: files that have changed are loaded, a certificate of its own is renewed in time. Open connections go on.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from cozystack.kube.clock import Clock
from cozystack.operator.webhook.certificates import Certificates, issue, renewed
from cozystack.runtime import Log

CERTIFICATE, KEY = "tls.crt", "tls.key"
LOOK_AGAIN = 60.0
"""Seconds between looks at the files."""


class ServingCertificate:
    """``folder`` holds ``tls.crt`` and ``tls.key``; without one a certificate for ``host`` is made."""

    def __init__(self, *, folder: Path | None, host: str, clock: Clock, log: Log) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._folder = folder
        self._host = host
        self._clock = clock
        self._log = log
        self._files = (b"", b"")
        self._own: Certificates | None = None

    def load(self) -> bool:
        """Use what is there now; whether it was new. Raises ``OSError`` when it cannot be read or used."""
        return self._load_own() if self._folder is None else self._load_files(self._folder)

    async def run(self) -> None:
        """Look again and again, until cancelled; what cannot be loaded leaves the certificate as it is."""
        while True:
            await self._clock.sleep(LOOK_AGAIN)
            try:
                if self.load():
                    self._log.info("the certificate of the metrics listener was renewed")
            except OSError as error:
                self._log.warning("the certificate of the metrics listener cannot be renewed", reason=str(error))

    def _load_files(self, folder: Path) -> bool:
        certificate, key = folder / CERTIFICATE, folder / KEY
        found = certificate.read_bytes(), key.read_bytes()
        if found == self._files:
            return False
        self.context.load_cert_chain(certificate, key)
        self._files = found
        return True

    def _load_own(self) -> bool:
        now = self._clock.now()
        current = issue(self._host, now) if self._own is None else renewed(self._own, self._host, now)
        if current is self._own:
            return False
        current.load_into(self.context)
        self._own = current
        return True

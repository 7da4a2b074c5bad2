"""Looks whether each tracking host has its certificate in the folder that the port for them reads.

Nobody is called: a proxy that holds the certificates in our place is not looked at.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outrider.base.clock import Clock
from outrider.net import host_certificates
from outrider.net.certificate import Terms
from outrider.policy import checkup, checkup_node
from outrider.policy.checkup import Check
from outrider.policy.checkup_node import CertificateFigures
from outrider.services.checkup.run import Probe

_NAME: Final = "tls.tracking"


class TrackingCheckup:
    """Looks at one folder."""

    def __init__(self, folder: Path | None, hosts: Iterable[str], *, clock: Clock) -> None:
        """`hosts` are those that links lead to. None: there is no folder."""
        self._folder: Final = folder
        self._hosts: Final = sorted(set(hosts))
        self._clock: Final = clock

    def probes(self) -> list[Probe]:
        """Return what there is to look at."""
        return [Probe(_NAME, self._look)]

    async def _look(self) -> Sequence[Check]:
        if self._folder is None:
            advice = "Name their folder: OUTRIDER_TRACKING__CERTIFICATES=tracking."
            return [checkup.warn(_NAME, "[tracking] tls_listen has no certificates but one signed by itself.", advice)]
        try:
            seen = host_certificates.look_into(self._folder)
        except OSError as error:
            return [checkup.fail(_NAME, f"the folder cannot be read: {error}.", "Let Outrider read it.")]
        advice = "Put certificate and key there whole, for Outrider to read, the key without a password."
        broken = [checkup.fail(_NAME, f"{file} cannot be used: {why}.", advice) for file, why in seen.faults.items()]
        return [*broken, *(self._judge(host, host_certificates.of_host(seen.terms, host)) for host in self._hosts)]

    def _judge(self, host: str, terms: Terms | None) -> Check:
        figures = None if terms is None else msgspec.convert(terms, CertificateFigures, from_attributes=True)
        return checkup_node.judge_host_certificate(figures, host, self._clock.now())

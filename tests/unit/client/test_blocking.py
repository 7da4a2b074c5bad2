import itertools
import threading
from collections.abc import Callable
from typing import Any

from outrider.client.blocking import Outrider, SystemTimer
from outrider.testing.http_peer import HttpPeer
from tests.unit.client.conformance import KEY, MAIL, OK, Hurried, Suite, options_of


class HurriedTimer(Hurried):
    def sleep(self, delay_s: float) -> None:
        self.pauses.append(delay_s)


class TestBlocking(Suite):
    def get(self, url: str, call: Callable[[Any], Any], **options: Any) -> tuple[Any, list[float]]:
        timer = HurriedTimer()
        with Outrider(**options_of(url, timer, options)) as outrider:
            return call(outrider), timer.pauses

    def go(self, url: str, call: Callable[[Any], Any], count_max: int, **options: Any) -> tuple[list[Any], list[float]]:
        timer = HurriedTimer()
        with Outrider(**options_of(url, timer, options)) as outrider:
            going = call(outrider)
            found = list(itertools.islice(going, count_max))
            going.close()
            return found, timer.pauses


def test_one_client_serves_many_threads() -> None:
    with HttpPeer([OK]) as peer, Outrider(peer.url, KEY) as outrider:
        threads = [threading.Thread(target=lambda: [outrider.send(MAIL) for _ in range(20)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(peer.heard) == len({heard.headers["idempotency-key"] for heard in peer.heard}) == 160
    assert peer.connection_count <= 160


def test_the_real_time_goes_on() -> None:
    timer = SystemTimer()
    first = timer.monotonic_s()
    timer.sleep(0.001)
    assert timer.monotonic_s() > first

"""Listening: start, stop and refusal, on both loops. What is said is in test_catch.py and test_inbound.py."""

import asyncio
import socket
from typing import Final

from outrider.faces.smtp.listener import AGAIN_S, WARN_EVERY_COUNT, LibraryTalk, Listener, PatientListener, refuse
from outrider.obs.metrics import Metrics
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal, running

WAIT_S: Final = 5.0


class Deaf:
    """Hooks that do nothing."""


class Plain(Listener):
    """Takes one conversation, refuses more."""

    def make_protocol(self) -> asyncio.BaseProtocol:
        if self.conversations:
            return Refusing()
        conversation = LibraryTalk(Deaf(), loop=asyncio.get_running_loop())
        self.conversations.add(conversation)
        return conversation


class Refusing(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        refuse(transport)


async def test_one_too_many_is_told_so_and_a_stop_hangs_up_on_the_rest() -> None:
    listener = Plain("127.0.0.1", 0)
    assert listener.port == 0
    await listener.start()
    await listener.start()
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert (await reader.readline()).startswith(b"220 ")
        refused, other = await asyncio.open_connection("127.0.0.1", listener.port)
        assert (await refused.read()).startswith(b"421 4.3.2 ")
        await listener.stop()
        await listener.stop()
        try:
            assert await reader.read() == b""
        except ConnectionResetError:  # Hung up on.
            assert reader.at_eof() or reader.exception() is not None
    for each in (writer, other):
        each.close()


async def pass_round(clock: FakeClock) -> None:
    clock.advance(AGAIN_S)
    await clock.wait_for_sleepers(1)


async def test_a_taken_port_is_told_each_minute_and_taken_when_it_is_free() -> None:
    clock, journal, metrics = FakeClock(), Journal(), Metrics()
    gauge = 'outrider_smtp_listening{face="inbound"}'
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = Plain("127.0.0.1", port := taken.getsockname()[1])
        patient = PatientListener(
            listener, "inbound", "OUTRIDER_INBOUND_PORT", clock=clock, log=journal.logger, metrics=metrics
        )
        async with running(patient):
            await clock.wait_for_sleepers(1)
            for _ in range(WARN_EVERY_COUNT):
                assert journal.count("port_not_listening") == 1
                await pass_round(clock)
            assert journal.count("port_not_listening") == 2
            assert f"{gauge} 0.0" in metrics.render().decode()
            told = journal.lines[0]
            assert (told["level"], told["setting"], told["port"]) == ("error", "OUTRIDER_INBOUND_PORT", port)
            taken.close()
            await pass_round(clock)
            assert journal.count("port_listening") == 1
            assert f"{gauge} 1.0" in metrics.render().decode()
            async with asyncio.timeout(WAIT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert (await reader.readline()).startswith(b"220 ")
            writer.close()
            await pass_round(clock)
            assert journal.count("port_listening") == 1
    assert f"{gauge} 0.0" in metrics.render().decode()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "a stop gives the port back"

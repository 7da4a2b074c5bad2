"""Listening: start, stop and refusal, on both loops. What is said is in test_catch.py and test_inbound.py."""

import asyncio
from typing import Final

from outrider.faces.smtp.listener import Conversation, Listener, refuse

WAIT_S: Final = 5.0


class Deaf:
    """Hooks that do nothing."""


class Plain(Listener):
    """Takes one conversation, refuses more."""

    def make_protocol(self) -> asyncio.BaseProtocol:
        if self.conversations:
            return Refusing()
        conversation = Conversation(Deaf(), loop=asyncio.get_running_loop())
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

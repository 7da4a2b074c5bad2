"""The driver over real sockets, on both loops: deadlines, TLS, flow control, endings."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from outrider.base.errors import LocalProtocolError
from outrider.base.vocab import Phase
from outrider.net.settings import waits_of
from outrider.net.smtp_talk import Connection, Endpoint
from outrider.net.tls import TlsContexts
from outrider.testing.delivery import LARGE_MAIL, MAIL, TO, settings_for
from outrider.testing.peer import ADDRESS, HOST, Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire import dialogue
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, Session, State, TlsMode


def on_both_loops(scene: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Turn a scene with a peer into a test on asyncio's loop and one on uvloop's."""

    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **rest: object) -> None:
        async def play() -> None:
            async with Peer() as peer:
                await scene(peer, **rest)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(play())

    test: Any = functools.update_wrapper(run, scene)
    del test.__wrapped__
    _, *rest = inspect.signature(scene).parameters.values()
    loop = inspect.Parameter("loop_factory", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([loop, *rest])
    factories = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop_factory", factories, ids=["asyncio", "uvloop"])(test)


async def open_to(
    peer: Peer, *, tls: TlsMode = TlsMode.NEVER, ca_pem: str = "", secret: Credentials | None = None, **changes: float
) -> Connection | Answer:
    settings = settings_for(**changes)
    endpoint = Endpoint(
        ip=ADDRESS, port=peer.port, host=HOST, context=TlsContexts(settings, ca_pem=ca_pem).of(tls), connect_wait_s=5
    )
    session = Session("us.example", tls=tls, credentials=secret, waits=waits_of(settings))
    made = await Connection.open(session, endpoint)
    return made if made.failure is None else made.failure


async def connect(peer: Peer, **changes: float) -> Connection:
    made = await open_to(peer, **changes)
    assert isinstance(made, Connection)
    return made


async def gone(connection: Connection) -> None:
    closed = asyncio.Event()
    connection.watch(lambda _: closed.set())
    await asyncio.wait_for(closed.wait(), 5)


@on_both_loops
async def test_mails_are_delivered_one_after_the_other(peer: Peer) -> None:
    connection = await connect(peer)
    for number in range(1, 4):
        answers = await connection.deliver(MAIL)
        assert answers == {TO: Answer(Phase.DOT, Reply(250, "2.0.0", f"queued as {number:06X}"))}
    connection.quit()
    await gone(connection)
    assert peer.commands[-1] == "QUIT"
    assert [mail.content for mail in peer.received] == [MAIL.content] * 3
    assert peer.connection_count == 1


@on_both_loops
async def test_a_large_mail_arrives_whole(peer: Peer) -> None:
    connection = await connect(peer)
    answers = await connection.deliver(LARGE_MAIL)
    assert answers[TO].phase is Phase.DOT
    assert peer.received[0].content == LARGE_MAIL.content
    connection.abort()


@on_both_loops
@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
async def test_tls_is_used_and_required_verifies(peer: Peer, mode: TlsMode) -> None:
    peer.script = Script(tls=TlsKind.GOOD, mechanisms=("PLAIN",))
    made = await open_to(peer, tls=mode, ca_pem=peer.certificate.pem, secret=Credentials("user", "word"))
    assert isinstance(made, Connection)
    assert made.tls_version == "TLSv1.3"
    await made.deliver(MAIL)
    assert peer.received[0].is_encrypted
    made.quit()
    await gone(made)


@on_both_loops
async def test_a_large_mail_goes_over_tls(peer: Peer) -> None:
    peer.script = Script(tls=TlsKind.GOOD)
    made = await open_to(peer, tls=TlsMode.OPPORTUNISTIC)
    assert isinstance(made, Connection)
    await made.deliver(LARGE_MAIL)
    assert peer.received[0].content == LARGE_MAIL.content
    made.abort()
    await gone(made)


@on_both_loops
async def test_a_stranger_certificate_is_refused_where_tls_is_required(peer: Peer) -> None:
    peer.script = Script(tls=TlsKind.GOOD)
    assert await open_to(peer, tls=TlsMode.REQUIRED) == Answer(Phase.STARTTLS, None, Cause.TLS)
    await peer.until_idle()


@on_both_loops
@pytest.mark.parametrize(
    ("stage", "phase", "wait"),
    [
        (Stage.GREETING, Phase.GREETING, "greeting_wait_s"),
        (Stage.EHLO, Phase.EHLO, "command_wait_s"),
        (Stage.STARTTLS, Phase.STARTTLS, "command_wait_s"),
    ],
)
@pytest.mark.parametrize(
    ("act", "cause"), [(Act.HOLD, Cause.TIMEOUT), (Act.DROP, Cause.RESET), (Act.RESET, Cause.RESET)]
)
async def test_setting_up_ends_in_an_answer(
    peer: Peer, stage: Stage, phase: Phase, wait: str, act: Act, cause: Cause
) -> None:
    peer.script = Script(tls=TlsKind.GOOD, moves={stage: Move(act)})
    assert await open_to(peer, tls=TlsMode.OPPORTUNISTIC, **({wait: 0.1} if act is Act.HOLD else {})) == Answer(
        phase, None, cause
    )


@on_both_loops
@pytest.mark.parametrize(
    ("stage", "phase", "wait"),
    [
        (Stage.MAIL, Phase.MAIL, "command_wait_s"),
        (Stage.RCPT, Phase.RCPT, "command_wait_s"),
        (Stage.DATA, Phase.DATA, "data_start_wait_s"),
        (Stage.DOT, Phase.DOT, "data_end_wait_s"),
    ],
)
@pytest.mark.parametrize(
    ("act", "cause"), [(Act.HOLD, Cause.TIMEOUT), (Act.DROP, Cause.RESET), (Act.RESET, Cause.RESET)]
)
async def test_a_conversation_ends_in_an_answer(
    peer: Peer, stage: Stage, phase: Phase, wait: str, act: Act, cause: Cause
) -> None:
    connection = await connect(peer, **({wait: 0.1} if act is Act.HOLD else {}))
    peer.script = Script(moves={stage: Move(act)})
    assert await connection.deliver(MAIL) == {TO: Answer(phase, None, cause)}
    await gone(connection)


@on_both_loops
@pytest.mark.slow
async def test_a_deadline_is_for_the_whole_reply_and_starts_anew_with_the_next(peer: Peer) -> None:
    # Some 20 octets at 20 ms each: a reply takes half a second, and three of them longer than one deadline.
    connection = await connect(peer, command_wait_s=1.0, data_start_wait_s=1.0)
    slow = Move(Act.DRIP)
    peer.script = Script(moves={Stage.MAIL: slow, Stage.RCPT: slow, Stage.DATA: slow})
    started_s = asyncio.get_running_loop().time()
    assert (await connection.deliver(MAIL))[TO].reply is not None
    assert asyncio.get_running_loop().time() - started_s > 1.0
    connection.abort()


@on_both_loops
async def test_a_peer_that_stops_reading_is_gone_after_the_block_deadline_and_it_is_not_ambiguous(peer: Peer) -> None:
    connection = await connect(peer, data_block_wait_s=0.1)
    peer.script = Script(moves={Stage.BODY: Move(Act.HOLD)})
    assert await connection.deliver(LARGE_MAIL) == {TO: Answer(Phase.DATA, None, Cause.TIMEOUT)}


@on_both_loops
async def test_a_refusal_in_mid_body_is_heard(peer: Peer) -> None:
    connection = await connect(peer)
    peer.script = Script(moves={Stage.BODY: Move(Act.SAY, b"552 5.3.4 too big\r\n")})
    answer = (await connection.deliver(LARGE_MAIL))[TO]
    # The refusal, or the reset that follows it if that overtakes it; never ambiguous.
    assert answer.phase is Phase.DATA
    await gone(connection)


@on_both_loops
async def test_a_dead_connection_answers_at_once(peer: Peer) -> None:
    connection = await connect(peer)
    connection.abort()
    assert await connection.deliver(MAIL) == {TO: Answer(Phase.MAIL, None, Cause.RESET)}


@on_both_loops
async def test_a_peer_that_closes_at_rest_is_noticed(peer: Peer) -> None:
    connection = await connect(peer)
    await connection.deliver(MAIL)
    peer.hang_up()
    await gone(connection)
    assert connection.is_over


@on_both_loops
async def test_cancelling_aborts_the_conversation(peer: Peer) -> None:
    connection = await connect(peer)
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with asyncio.TaskGroup() as group:
        delivering = group.create_task(connection.deliver(MAIL))
        await peer.reached(Stage.DOT)
        delivering.cancel()
    assert delivering.cancelled()
    await gone(connection)
    assert connection.session.answers == {TO: Answer(Phase.DOT, None, Cause.RESET)}


@on_both_loops
@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO])
async def test_cancelling_while_setting_up_leaves_nothing_open(peer: Peer, stage: Stage) -> None:
    peer.script = Script(moves={stage: Move(Act.HOLD)})
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(open_to(peer))
        await peer.reached(stage)
        opening.cancel()
    assert opening.cancelled()
    peer.release()
    await peer.until_idle()


@on_both_loops
async def test_two_mails_at_once_are_our_bug(peer: Peer) -> None:
    connection = await connect(peer)
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with asyncio.TaskGroup() as group:
        first = group.create_task(connection.deliver(MAIL))
        await peer.reached(Stage.DOT)
        with pytest.raises(LocalProtocolError):
            await connection.deliver(MAIL)
        peer.release()
    assert first.result()[TO].reply is not None
    connection.abort()


@on_both_loops
async def test_stopping_lets_a_conversation_past_the_dot_go_on_and_aborts_any_other(peer: Peer) -> None:
    connection = await connect(peer)
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD), Stage.RCPT: Move(Act.HOLD)})
    async with asyncio.TaskGroup() as group:
        early = group.create_task(connection.deliver(MAIL))
        await peer.reached(Stage.RCPT)
        connection.stop()
    assert early.result()[TO].cause is Cause.RESET
    assert not early.result()[TO].is_ambiguous
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    connection = await connect(peer)
    async with asyncio.TaskGroup() as group:
        late = group.create_task(connection.deliver(MAIL))
        await peer.reached(Stage.DOT)
        connection.stop()
        peer.release()
    assert late.result()[TO].phase is Phase.DOT
    assert late.result()[TO].reply is not None
    connection.stop()  # Now it is at rest and says QUIT.
    await gone(connection)
    assert peer.commands[-1] == "QUIT"


@on_both_loops
async def test_a_peer_that_ignores_quit_is_left_soon(peer: Peer) -> None:
    peer.script = Script(moves={Stage.QUIT: Move(Act.HOLD)})
    settings = settings_for()
    endpoint = Endpoint(
        ip=ADDRESS, port=peer.port, host=HOST, context=TlsContexts(settings).of(TlsMode.NEVER), connect_wait_s=5
    )
    waits = waits_of(settings)
    impatient = type(waits)(quit_s=0.02, command_s=waits.command_s)
    made = await Connection.open(Session("us.example", tls=TlsMode.NEVER, waits=impatient), endpoint)
    made.quit()
    assert made.session.state is State.QUIT
    await gone(made)


# The dialogue.


def steps_of(connection: Connection) -> list[tuple[str, str]]:
    return [(step.word, step.reply or step.cause) for step in dialogue.decode(connection.dialogue).steps]


@on_both_loops
async def test_the_first_mail_tells_how_the_connection_was_made_and_later_ones_their_own(peer: Peer) -> None:
    peer.script = Script(tls=TlsKind.GOOD, mechanisms=("PLAIN",))
    made = await open_to(peer, tls=TlsMode.OPPORTUNISTIC, secret=Credentials("user", "word"))
    assert isinstance(made, Connection)
    assert made.certificate == HOST
    await made.deliver(MAIL)
    hello = f"250 {HOST}"
    own = [("mail", "250 2.1.0 sender ok"), ("rcpt", "250 2.1.5 recipient ok"), ("data", "354 go ahead")]
    assert steps_of(made) == [
        ("connect", ""),
        ("greeting", f"220 {HOST} ESMTP"),
        ("ehlo", hello),
        ("starttls", "220 2.0.0 go ahead"),
        ("tls", ""),
        ("ehlo", hello),
        ("auth", "235 2.7.0 welcome"),
        *own,
        ("dot", "250 2.0.0 queued as 000001"),
    ]
    first = dialogue.decode(made.dialogue)
    assert (first.message_number, first.source, first.ehlo_name) == (1, "127.0.0.1", "us.example")
    assert first.cipher.startswith("TLS_")
    await made.deliver(MAIL)
    assert steps_of(made) == [*own, ("dot", "250 2.0.0 queued as 000002")]
    second = dialogue.decode(made.dialogue)
    assert (second.message_number, second.source, second.ehlo_name) == (2, "127.0.0.1", "")
    assert second.parameters == f"SIZE={len(MAIL.content)}"
    made.abort()


@on_both_loops
async def test_a_silence_is_told_with_its_length(peer: Peer) -> None:
    connection = await connect(peer, command_wait_s=0.1)
    peer.script = Script(moves={Stage.RCPT: Move(Act.HOLD)})
    await connection.deliver(MAIL)
    *_, before, last = dialogue.decode(connection.dialogue).steps
    assert (before.word, before.reply) == ("mail", "250 2.1.0 sender ok")
    assert (last.word, last.reply, last.cause) == ("rcpt", "", "timeout")
    assert last.ms >= 90


@on_both_loops
async def test_a_mail_that_was_not_offered_says_why(peer: Peer) -> None:
    peer.script = Script(features=("PIPELINING", "SIZE 10"))
    connection = await connect(peer)
    await connection.deliver(MAIL)
    assert steps_of(connection)[-1] == ("mail", "too_large")
    connection.abort()


@on_both_loops
async def test_a_connection_that_failed_tells_how_far_it_came(peer: Peer) -> None:
    peer.script = Script(moves={Stage.EHLO: Move(Act.SAY, b"451 4.3.0 later\r\n")})
    settings = settings_for()
    context = TlsContexts(settings).of(TlsMode.NEVER)
    endpoint = Endpoint(ip=ADDRESS, port=peer.port, host=HOST, context=context, connect_wait_s=5)
    made = await Connection.open(Session("us.example", tls=TlsMode.NEVER), endpoint)
    assert made.failure == Answer(Phase.EHLO, Reply(451, "4.3.0", "later"))
    assert steps_of(made) == [("connect", ""), ("greeting", f"220 {HOST} ESMTP"), ("ehlo", "451 4.3.0 later")]
    assert dialogue.decode(made.dialogue).message_number == 0

"""Sentences: every state has a reason, times are told from the same instant, what is alike is told once."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.vocab import HoldScope, RecipientStatus, Stream, SuppressionOrigin, SuppressionScope, WaitKind
from outrider.engine import sentences
from outrider.engine.sentences import Scene
from outrider.store.holds import Hold
from outrider.store.queue_views import Group, LaneSeen, NodeSeen
from outrider.store.suppressions import EVERYBODY, Suppression

NOW = datetime(2026, 11, 27, 14, 5, 10, tzinfo=UTC)
PROJECT, SESSION, OWNER = UUID(int=1), UUID(int=2), UUID(int=3)
NODE = NodeSeen(UUID(int=9), "mta1", ("default",), NOW)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def lane(lane_id: int = 1, **changes: Any) -> LaneSeen:
    values: dict[str, Any] = {
        "lane_id": lane_id, "project_id": PROJECT, "project": "shop", "pool": "default", "route": "a.example",
        "stream": Stream.MARKETING, "sender_domain": "shop.example", "campaign": "", "shard": 0, "provider": "gmail",
        "is_asleep": False, "owner": None, "is_leased": False, "lease_until": None, "is_paused": False,
        "paused_until": None, "pause_kind": None, "pause_reason": "", "paused_since": None, "hold_id": None,
    }  # fmt: skip
    return LaneSeen(**values | changes)


def scene(*lanes: LaneSeen, nodes: tuple[NodeSeen, ...] = (NODE,), **changes: Any) -> Scene:
    seen: Mapping[int, LaneSeen] = {one.lane_id: one for one in lanes or (lane(),)}
    return Scene(**{"now": NOW, "lanes": seen, "holds": (), "nodes": nodes} | changes)


def hold(scope: HoldScope = HoldScope.PROVIDER, subject: str = "gmail", note: str = "complaints") -> Hold:
    return Hold(UUID(int=7), scope, subject, note, ago(250))


def due(count: int = 1, seconds: float = 0.3, **changes: Any) -> Group:
    values: dict[str, Any] = {
        "status": RecipientStatus.QUEUED, "lane_id": 1, "is_due": True, "due_at": ago(seconds), "count": count
    }  # fmt: skip
    return Group(**values | changes)


def later(seconds: float = 720, **changes: Any) -> Group:
    return due(**{"is_due": False, "due_at": ago(-seconds), "first_at": ago(60)} | changes)


def final(status: RecipientStatus, **changes: Any) -> Group:
    return Group(**{"status": status, "first_at": ago(10), "last_at": ago(10)} | changes)


PAUSED = {
    "is_paused": True, "pause_kind": WaitKind.CONNECTIONS, "paused_since": ago(250), "paused_until": ago(-12),
    "pause_reason": "5 of 5 connections in use from mta1",
}  # fmt: skip
LEASED = {"owner": OWNER, "is_leased": True, "lease_until": ago(-60)}
TABLE = [
    (due(41), scene(lane(**PAUSED)),
     "41 wait: gmail, 5 of 5 connections in use from mta1, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(41), scene(lane(**PAUSED | {"pause_reason": "gmail: 10/min"})),
     "41 wait: gmail: 10/min, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(15), scene(lane(**PAUSED | {"provider": "catch catch", "pause_reason": "catch: warm-up: 2 of 2 sent"})),
     "15 wait: catch: warm-up: 2 of 2 sent, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(15), scene(lane(**PAUSED | {"provider": "smarthost relay:587", "pause_reason": "smarthost: 10/min"})),
     "15 wait: smarthost: 10/min, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(15), scene(lane(**PAUSED | {"provider": "smarthost relay:587"})),
     ("15 wait: smarthost relay:587, 5 of 5 connections in use from mta1, since 14:01:00 UTC; "
      "next look 14:05:22 UTC, in 12 s")),
    (due(3, is_capped=True), scene(lane(**PAUSED | {"pause_reason": "", "provider": ""})),
     "3+ wait: connections, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(41), scene(lane(**PAUSED | {"pause_kind": WaitKind.GUARD, "pause_reason": "marketing mail of a.b is paused"})),
     "41 wait: marketing mail of a.b is paused, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(41), scene(lane(**PAUSED | {"pause_kind": WaitKind.DOMAIN, "pause_reason": "a.b is stopped"})),
     "41 wait: a.b is stopped, since 14:01:00 UTC; next look 14:05:22 UTC, in 12 s"),
    (due(), scene(holds=[hold()]),
     "1 wait: held by the operator (provider gmail): complaints, since 14:01:00 UTC"),
    (due(), scene(holds=[hold(HoldScope.PROJECT, str(PROJECT), "")]),
     f"1 wait: held by the operator (project {PROJECT}), since 14:01:00 UTC"),
    (due(), scene(holds=[hold(HoldScope.LANE, "1", "")]), "1 wait: held by the operator (lane 1), since 14:01:00 UTC"),
    (due(), scene(lane(**PAUSED | {"hold_id": UUID(int=7)}), holds=[hold(HoldScope.LANE, "2", "")]),
     "1 wait: held by the operator (lane 2), since 14:01:00 UTC"),
    (due(message_id=SESSION), scene(holds=[hold(HoldScope.SESSION, str(SESSION), "")]),
     f"1 wait: held by the operator (session {SESSION}), since 14:01:00 UTC"),
    (due(), scene(nodes=()),
     ("1 unserved: nobody serves pool default: start `outrider serve --role deliver` on a node that has its sources, "
     "since 14:05:09 UTC (0.3 s)")),
    (due(), scene(nodes=(NodeSeen(UUID(int=9), "mta1", ("default",), ago(11)),)),
     ("1 unserved: nobody serves pool default: start `outrider serve --role deliver` on a node that has its sources, "
     "since 14:05:09 UTC (0.3 s)")),
    (due(), scene(lane(**LEASED), before_count=12),
     "1 sending: by mta1: 12 due before it, since 14:05:09 UTC"),
    (due(), scene(lane(**LEASED | {"is_leased": False})),
     "1 due: mta1 let its lease run out; the next look takes it over, since 14:05:09 UTC (0.3 s)"),
    (due(), scene(), "1 due: takes its turn, since 14:05:09 UTC (0.3 s)"),
    (due(1, 90), scene(lane(is_asleep=True)),
     ("1 asleep: its lane sleeps, which is a bug of ours; `outrider queue flush lane 1` wakes it, "
     "since 14:03:40 UTC (90 s)")),
    (due(lane_id=None, due_at=None), scene(), "1 lost: it is in no lane, which is a bug of ours: please report it"),
    (due(lane_id=8), scene(), "1 lost: it is in no lane, which is a bug of ours: please report it"),
    (later(reason="recipient.full", reply="452 4.2.2 full", attempt=3), scene(),
     ("1 deferred: recipient.full, '452 4.2.2 full', attempt 3, since 14:04:10 UTC; "
     "next try 14:17:10 UTC, in 12 min")),
    (later(30, reason="x", attempt=1), scene(lane(**PAUSED | {"paused_until": ago(-3600)})),
     ("1 deferred: x, attempt 1; and its lane waits: gmail, 5 of 5 connections in use from mta1, since 14:04:10 UTC; "
     "next try 14:05:40 UTC, in 30 s")),
    (later(reason="x", attempt=1), scene(lane(**PAUSED)),
     "1 deferred: x, attempt 1, since 14:04:10 UTC; next try 14:17:10 UTC, in 12 min"),
    (later(reason="x", attempt=1), scene(holds=[hold()]),
     ("1 deferred: x, attempt 1; and its lane is held by the operator (provider gmail): complaints, "
     "since 14:04:10 UTC; next try 14:17:10 UTC, in 12 min")),
    (later(3 * 86400), scene(),
     ("1 wait: scheduled, its first try is for later, since 14:04:10 UTC; "
      "next look 2026-11-30 14:05:10 UTC, in 3 d 0 h")),
    (final(RecipientStatus.DELIVERED, reply="250 ok", last_at=NOW), scene(),
     "1 delivered: '250 ok', at 14:05:00 UTC to 14:05:10 UTC"),
    (final(RecipientStatus.BOUNCED, reason="recipient.unknown", reply="550 no"), scene(),
     "1 bounced: recipient.unknown, '550 no', at 14:05:00 UTC"),
    (final(RecipientStatus.EXPIRED, reason="greylisted", reply="450 later"), scene(),
     "1 expired: its time was over, last greylisted, '450 later', at 14:05:00 UTC"),
    (final(RecipientStatus.SUPPRESSED, reason="complaint"), scene(),
     "1 suppressed: never tried, the address is blocked, complaint, at 14:05:00 UTC"),
    (final(RecipientStatus.CANCELLED, reason="operator"), scene(), "1 cancelled: by the operator, at 14:05:00 UTC"),
    (final(RecipientStatus.CANCELLED, first_at=ago(86400), last_at=ago(86400)), scene(),
     "1 cancelled: withdrawn, at 2026-11-26 14:05:10 UTC"),
    (final(RecipientStatus.HELD, reason="operator", message_id=SESSION),
     scene(holds=[hold(HoldScope.SESSION, str(SESSION), "wrong price")]),
     (f"1 held: by the operator: wrong price; `outrider queue resume session {SESSION}` releases it, "
     "since 14:05:00 UTC")),
    (final(RecipientStatus.HELD, reason="operator"), scene(),
     "1 held: by the operator; `outrider queue resume session SESSION` releases it, since 14:05:00 UTC"),
    (final(RecipientStatus.HELD, reason="internal", reply="no reply: internal"), scene(),
     ("1 held: parked after repeated errors of ours, which the log shows (internal), 'no reply: internal', "
     "since 14:05:00 UTC")),
    (final(RecipientStatus.HELD), scene(), "1 held: parked, since 14:05:00 UTC"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "around", "sentence"), TABLE)
def test_every_state_has_its_sentence(group: Group, around: Scene, sentence: str) -> None:
    (line,) = sentences.tell([group], around)
    assert line.sentence == sentence


@pytest.mark.parametrize("status", RecipientStatus)
@pytest.mark.parametrize("lane_id", [None, 1, 99])
@pytest.mark.parametrize("is_due", [True, False])
@pytest.mark.parametrize("changes", [{}, PAUSED, LEASED, LEASED | {"is_leased": False}, {"is_asleep": True}])
@pytest.mark.parametrize("nodes", [(), (NODE,)])
def test_nothing_waits_without_a_reason(
    status: RecipientStatus, lane_id: int | None, is_due: bool, changes: dict[str, Any], nodes: tuple[NodeSeen, ...]
) -> None:
    group = due(status=status, lane_id=lane_id, is_due=is_due, due_at=ago(5 if is_due else -5))
    (line,) = sentences.tell([group], scene(lane(**changes), nodes=nodes))
    assert line.state
    assert line.text


def test_what_waits_for_the_same_is_told_once_from_the_first_since_to_the_next_look() -> None:
    around = scene(
        lane(1, **PAUSED),
        lane(2, **PAUSED | {"paused_since": ago(500), "paused_until": ago(-5)}),
        lane(3, **PAUSED | {"provider": "qq"}),
    )
    groups = [due(1), due(2, lane_id=2), due(4, lane_id=3), final(RecipientStatus.DELIVERED, count=90)]
    told = sentences.tell(groups, around)
    assert [(line.count, line.state, line.since, line.until) for line in told] == [
        (4, "wait", ago(250), ago(-12)),
        (3, "wait", ago(500), ago(-5)),
        (90, "delivered", ago(10), None),
    ]


def test_an_owner_is_the_only_node_that_serves_the_pool_else_a_number() -> None:
    mine = lane(**LEASED)
    assert sentences.owner_name(lane(), scene()) == "-"
    assert sentences.owner_name(mine, scene()) == "mta1"
    two = (NODE, NodeSeen(UUID(int=8), "mta2", ("default",), NOW))
    assert sentences.owner_name(mine, scene(nodes=two)) == "00000000"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0.0 s"), (0.26, "0.3 s"), (12.4, "12 s"), (119, "119 s"), (720, "12 min"), (7300, "2 h 1 min"),
     (90_000, "25 h 0 min"), (200_000, "2 d 7 h")],
)  # fmt: skip
def test_durations_are_told_in_what_matters(seconds: float, text: str) -> None:
    assert sentences.duration_text(timedelta(seconds=seconds)) == text


def test_a_long_reply_is_cut() -> None:
    (line,) = sentences.tell([final(RecipientStatus.BOUNCED, reply="x" * 500)], scene())
    assert line.text.startswith(f"'{'x' * 120}...'")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "gets no mail: complaint, the reader's wish, since 2026-11-27 14:05:10 UTC, until it is removed"),
        ({"scope": SuppressionScope.STREAM, "subject": "marketing"}, "gets no marketing mail: complaint, "),
        ({"scope": SuppressionScope.DOMAIN, "subject": "shop.example"}, "gets no mail from shop.example: "),
        ({"scope": SuppressionScope.LIST, "subject": "7"}, "gets no mail of list 7: "),
        ({"project_id": EVERYBODY}, "gets no mail from any project: "),
        (
            {"expires_at": NOW + timedelta(days=1), "rule": "a.rule"},
            "rule a.rule, since 2026-11-27 14:05:10 UTC, until 2",
        ),
        *(({"origin": origin}, "gets no mail: complaint, ") for origin in SuppressionOrigin),
    ],
)
def test_a_suppression_says_what_why_who_and_how_long(changes: Mapping[str, Any], text: str) -> None:
    values: dict[str, Any] = {
        "project_id": PROJECT, "address_key": "ann@a.example", "scope": SuppressionScope.ALL, "reason": "complaint",
        "origin": SuppressionOrigin.REQUEST, "created_at": NOW,
    }  # fmt: skip
    said = sentences.suppression_text(Suppression(**values | changes))
    assert said.startswith("ann@a.example gets no")
    assert text in said

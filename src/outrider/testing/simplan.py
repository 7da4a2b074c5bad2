"""What a simulation plays, decided by its seed: who sends what to whom, through what, and everything that goes wrong.

    plan = draw(seed)           small: tens of mails, a few minutes, one to four processes

Instants are seconds since the start; `chaos_s` is when the troubles end, `end_s` when everybody is told to stop.
"""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from outrider.base.vocab import Stream
from outrider.engine.settings import EngineSettings
from outrider.net.settings import NetSettings
from outrider.policy.settings import AssignEntry, EgressSettings, MemberEntry, RetrySettings, SourceEntry, Use
from outrider.testing.limiter import FixedWindow, Limiter, SlidingWindow, TokenBucket
from outrider.testing.simnet import Manners

CHAOS_S: Final = 45.0
END_S: Final = 90.0
PROVIDERS: Final = ("gmail", "orgs")  # Of the shaping text; "orgs" has a bound for each site.
_TROUBLES: Final = ("kill", "stop", "away", "silent", "database", "step", "pause", "resume", "flush", "drop", "dns")


class Domain(msgspec.Struct, frozen=True):
    """A domain that gets mail."""

    name: str
    host: str  # Its MX.
    ip: str
    manners: Manners


class Call(msgspec.Struct, frozen=True):
    """One accepted call."""

    at_s: float
    project: int
    stream: Stream
    to: tuple[str, ...]


class Trouble(msgspec.Struct, frozen=True):
    """Something that happens to somebody."""

    at_s: float
    kind: str  # One of `_TROUBLES`, or "guard".
    number: int  # Whom it is about; taken modulo how many there are.
    for_s: float


class Node(msgspec.Struct, frozen=True):
    """A machine."""

    name: str
    process_count: int
    egress: EgressSettings


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    seed: int
    project_count: int
    domains: Sequence[Domain]
    nodes: Sequence[Node]
    calls: Sequence[Call]
    troubles: Sequence[Trouble]
    shaping: str  # A file of providers and rules.
    engine: EngineSettings
    net: NetSettings
    retry: RetrySettings
    per_minute: Mapping[str, int]  # Rates of sending domains.
    ceilings: Mapping[tuple[str, str], int]  # Warm-up by source and provider.
    lost_answer_ratio: float
    lost_notification_ratio: float
    chaos_s: float = CHAOS_S
    end_s: float = END_S

    @property
    def recipient_count(self) -> int:
        """Mails in all."""
        return sum(len(call.to) for call in self.calls)


def draw(seed: int) -> Plan:
    """Return the plan of a seed."""
    chance = Random(seed)
    project_count = chance.randint(1, 4)
    domains = _domains(chance)
    nodes = _nodes(chance)
    sources = [source for node in nodes for source in node.egress.sources]
    return Plan(
        seed=seed,
        project_count=project_count,
        domains=domains,
        nodes=nodes,
        calls=_calls(chance, project_count, domains),
        troubles=_by_time([*_troubles(chance), *_guards(Random(f"{seed} guards"))]),
        shaping=_shaping(chance),
        engine=_engine(chance),
        net=_net(chance),
        retry=RetrySettings(
            first_s=chance.choice((2.0, 10.0)),
            delay_s_max=60.0,
            greylist_s=15.0,
            rate_s=chance.choice((5.0, 20.0)),
            slow_s=40.0,
        ),
        per_minute={f"p{n}.example": chance.choice((10, 60)) for n in range(project_count) if chance.random() < 0.2},
        ceilings={
            (source, provider): chance.choice((3, 30))
            for source in sources
            for provider in (*PROVIDERS, "default")
            if chance.random() < 0.1
        },
        lost_answer_ratio=chance.choice((0.0, 0.0, 0.02)),
        lost_notification_ratio=chance.choice((0.0, 0.5, 1.0)),
    )


def project_domain(number: int) -> str:
    """Return the sending domain of a project."""
    return f"p{number}.example"


def _domains(chance: Random) -> list[Domain]:
    hosts = ["mx1.google.example", "mx2.google.example", "a.orgs.example", "b.orgs.example"]
    hosts += [f"mx.site{n}.example" for n in range(chance.randint(1, 4))]
    chosen = chance.sample(hosts, chance.randint(2, len(hosts)))
    domains: list[Domain] = []
    for number, host in enumerate(chosen):
        manners = _manners(chance)
        domains += [
            Domain(f"d{number}-{twin}.example", host, f"10.0.0.{number + 1}", manners)
            for twin in range(chance.choice((1, 1, 2)))
        ]
    return domains


def _manners(chance: Random) -> Manners:
    def now_and_then(ratio: float) -> float:
        return ratio if chance.random() < 0.25 else 0.0

    return Manners(
        delay_s=chance.choice((0.005, 0.02, 0.1)),
        dot_s=chance.choice((0.02, 0.2, 1.0)) if chance.random() < 0.9 else 6.0,
        stall_ratio=now_and_then(0.05),
        limiter=_limiter(chance),
        connections_max=chance.choice((0, 0, 1, 3)),
        greylist_s=chance.choice((0.0, 0.0, 0.0, 10.0)),
        refuse_ratio=now_and_then(0.2),
        defer_ratio=now_and_then(0.3),
        drop_in_data_ratio=now_and_then(0.1),
        drop_after_dot_ratio=now_and_then(0.1),
        hang_up_ratio=now_and_then(0.2),
        tls=chance.choice(("", "", "works", "refuses", "breaks")),
    )


def _limiter(chance: Random) -> Limiter | None:
    match chance.randrange(8):
        case 0:
            return TokenBucket(chance.choice((0.5, 3.0)), 5)
        case 1:
            return SlidingWindow(chance.choice((3, 10)), 5.0)
        case 2:
            return FixedWindow(10, 10.0)
        case _:
            return None


def _nodes(chance: Random) -> list[Node]:
    node_count = chance.choice((1, 1, 2))
    has_bulk = chance.random() < 0.4
    nodes: list[Node] = []
    for number in range(node_count):
        names = [f"mta{number}{letter}" for letter in "abc"[: chance.randint(1, 3)]]
        sources = {name: SourceEntry(address=f"192.0.2.{number * 10 + at + 1}") for at, name in enumerate(names)}
        pools = {"default": {name: MemberEntry(weight=chance.randint(1, 5)) for name in names}}
        if len(names) > 1 and chance.random() < 0.3:
            pools["default"][names[1]] = MemberEntry(use=chance.choice((Use.FAILOVER, Use.OVERFLOW)))
        assign: tuple[AssignEntry, ...] = ()
        if has_bulk:
            pools["bulk"] = {names[-1]: MemberEntry()} if number == 0 or chance.random() < 0.5 else {}
            assign = (AssignEntry(pool="bulk", stream=Stream.MARKETING),)
        egress = EgressSettings(sources=sources, pools=pools, assign=assign)
        nodes.append(Node(f"node{number}", chance.choice((1, 1, 2)), egress))
    return nodes


def _calls(chance: Random, project_count: int, domains: Sequence[Domain]) -> list[Call]:
    calls: list[Call] = []
    for number in range(chance.randint(4, 14)):
        size = chance.choice((1, 1, 3, 8)) if number else chance.choice((5, 25))  # Now and then one sends a lot.
        # Mostly few domains, so that lanes have company.
        to = chance.sample(list(domains), min(len(domains), chance.choice((1, 2, 5))))
        calls.append(
            Call(
                at_s=chance.choice((0.0, chance.uniform(0.0, CHAOS_S))),
                project=chance.randrange(project_count) if number else 0,
                stream=chance.choice(list(Stream)),
                to=tuple(
                    f"{'nobody' if chance.random() < 0.05 else 'user'}{number}x{at}@{to[at % len(to)].name}"
                    for at in range(size)
                ),
            )
        )
    return sorted(calls, key=lambda call: call.at_s)


def _troubles(chance: Random) -> list[Trouble]:
    return _by_time(
        Trouble(
            chance.uniform(0.5, CHAOS_S),
            chance.choice(_TROUBLES),
            chance.randrange(1000),
            chance.choice((0.5, 3.0, 10.0, 20.0)),
        )
        for _ in range(chance.choice((0, 3, 6, 10)))
    )


def _guards(chance: Random) -> list[Trouble]:
    return [
        Trouble(chance.uniform(0.5, CHAOS_S), "guard", chance.randrange(1000), chance.choice((0.5, 3.0, 20.0)))
        for _ in range(chance.choice((0, 0, 1, 3)))
    ]


def _by_time(troubles: Iterable[Trouble]) -> list[Trouble]:
    return sorted(troubles, key=lambda trouble: trouble.at_s)


def _shaping(chance: Random) -> str:
    def limits(*, per_site: bool = False) -> str:
        rates = [f"{chance.choice((2, 5))}/s"] if chance.random() < 0.4 else []
        rates += [f"{chance.choice((12, 40))}/min"] if chance.random() < 0.4 else []
        lines = [
            f"connections = {chance.choice((1, 2, 5))}",
            f"messages_per_connection = {chance.choice((1, 3, 50))}",
            f'rates = "{", ".join(rates)}"',
        ]
        if per_site:
            lines.append(f"connections_per_site = {chance.choice((0, 1, 2))}")
        if chance.random() < 0.2:
            lines.append('connection_rate = "30/min"')
        return "\n".join(lines)

    act = chance.choice(
        (
            '{ act = "pause", for_s = 10.0 }',
            '{ act = "rest", for_s = 8.0, hits = 2, within_s = 60.0 }',
            '{ act = "cap", for_s = 20.0, rate = "20/min", connections = 1 }',
            '{ act = "slow" }, { act = "reconnect" }',
        )
    )
    return f"""
[[provider]]
name = "default"
{limits()}
[[provider]]
name = "smarthost"
[[provider]]
name = "catch"
[[provider]]
name = "gmail"
mx = ["*.google.example"]
{limits()}
[[provider]]
name = "orgs"
mx = ["*.orgs.example"]
{limits(per_site=True)}
[[rule]]
id = "sim.too-fast"
providers = ["*"]
pattern = "4\\\\.7\\\\.28"
acts = [{act}]
"""


def _engine(chance: Random) -> EngineSettings:
    return EngineSettings(
        in_flight_max=chance.choice((2, 10, 100)),
        lane_in_flight_max=chance.choice((1, 5, 40)),
        lanes_max=chance.choice((4, 20, 200)),
        claim_count_max=chance.choice((2, 20, 100)),
        lease_s=10.0,
        poll_s=1.0,
        accept_wait_s=0.0,
        settle_wait_s=chance.choice((0.0, 0.01)),
        settle_weight_max=chance.choice((1, 500)),
        message_life_s=chance.choice((60.0, 3600.0)),
        stop_wait_s=3.0,
    )


def _net(chance: Random) -> NetSettings:
    return NetSettings(
        ehlo_name="us.example",
        connections_max=chance.choice((2, 10, 1000)),
        idle_s=chance.choice((1.0, 10.0)),
        connect_wait_s=3.0,
        greeting_wait_s=5.0,
        command_wait_s=5.0,
        tls_wait_s=5.0,
        data_start_wait_s=5.0,
        data_block_wait_s=5.0,
        data_end_wait_s=10.0,
        host_bad_s=10.0,
    )

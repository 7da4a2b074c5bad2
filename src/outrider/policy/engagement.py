"""What fetched a pixel or followed a link: a reader or a machine, with which program. Rules: `agents.toml`. Pure.

    book.read("curl/8.5.0")                          -> Agent(machine="script")
    judge(hits, bonds, too_soon_s=2.0, marked={})    -> a judgement for each hit, in order

The first of these that is so decides the cause:

| cause | when |
|---|---|
| `honey` | it followed the link that no reader sees, now or before |
| `prefetch` | the request says that it fetches ahead (Sec-Purpose, Purpose, X-Moz) |
| as its rule says | the agent is known for a machine: `apple_privacy`, `scanner`, `preview`, `crawler`, `script` |
| `no_agent` | it does not say what it is; every browser and mail program does |
| `all_links` | several links of one mail at once, from one address: nobody reads that fast |
| `too_soon` | a link was followed before the mail was delivered, or sooner after than people read |

Who once followed the honey link, or all links, stays a machine with that cause: `marked`. Who looks through a proxy
(Gmail's, Yahoo's) is a person whose device nobody knows. Apple's proxy fetches whether anybody looks or not, so it is a
machine.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from outrider.base.errors import ConfigError
from outrider.mail.link_tokens import HONEY_NUMBER
from outrider.policy import rulefile

BURST_S: Final = 1.0  # Ours: a person who opens links in tabs takes longer from one to the next.
_BURST_COUNT: Final = 2  # Ours: different links of one mail within that time.
_AGENTS_KEPT_COUNT: Final = 4096  # Ours: agents of a campaign's readers; a KB each.
_TITLE: Final = "The file of agents"
HONEY: Final = "honey"
PREFETCH: Final = "prefetch"
NO_AGENT: Final = "no_agent"
ALL_LINKS: Final = "all_links"
TOO_SOON: Final = "too_soon"
_LASTING: Final = frozenset({HONEY, ALL_LINKS})


class Hit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pixel fetched or a link followed, once or `count` times by the same."""

    recipient_id: UUID
    is_click: bool
    number: int = 0  # Of the link; 0 for a pixel.
    target: str = ""
    at: datetime
    ip: str = ""
    agent: str = ""
    is_prefetch: bool = False
    count: int = 1

    @property
    def visitor(self) -> "Visitor":
        """Who it was, as far as can be told."""
        return Visitor(self.recipient_id, self.ip, self.agent)


class Visitor(msgspec.Struct, frozen=True):
    """Somebody at one address with one program, about one recipient's mail."""

    recipient_id: UUID
    ip: str
    agent: str


class Agent(msgspec.Struct, frozen=True):
    """What an agent string says. "" where it does not."""

    machine: str = ""  # The cause; "" of a program that people use.
    client: str = ""
    device: str = ""  # "desktop", "phone", "tablet", "bot".
    os: str = ""
    is_proxy: bool = False  # It stands between us and a reader: where that one is nobody knows.


class Bond(msgspec.Struct, frozen=True):
    """How far the recipient's mail was when it was hit."""

    delivered_at: datetime | None  # None: not, or nobody knows.
    is_untried: bool = False  # Nothing was ever sent, or the first attempt goes on.


class Judgement(msgspec.Struct, frozen=True):
    """What a hit was."""

    machine: str  # The cause; "" of a person.
    agent: Agent
    since_s: float | None  # Since delivery; None: see `Bond`.

    @property
    def lasts(self) -> bool:
        """Whether the same visitor is a machine from now on."""
        return self.machine in _LASTING


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    pattern: str
    source: str
    seen_on: date
    samples: tuple[str, ...]


class MachineRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent of a machine."""

    cause: str


class ClientRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail program or browser."""

    name: str
    is_proxy: bool = False  # It says nothing of the reader's device.


class SystemRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operating system and what it runs on."""

    os: str
    device: str


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Of each table the first rule that is found decides."""

    machine: tuple[MachineRule, ...]
    client: tuple[ClientRule, ...]
    system: tuple[SystemRule, ...]


class AgentBook:
    """Reads agent strings. Immutable but for what it remembers."""

    def __init__(self, rules: Rules) -> None:
        self.rules: Final = rules
        self._machines: Final = [(rulefile.compile_pattern(rule.pattern), rule) for rule in rules.machine]
        self._clients: Final = [(rulefile.compile_pattern(rule.pattern), rule) for rule in rules.client]
        self._systems: Final = [(rulefile.compile_pattern(rule.pattern), rule) for rule in rules.system]
        self.read: Final = lru_cache(maxsize=_AGENTS_KEPT_COUNT)(self._read)

    def _read(self, agent: str) -> Agent:
        line = agent.lower()
        if not line.strip():
            return Agent(machine=NO_AGENT, device="bot")
        machine = _first(self._machines, line)
        if machine is not None:
            return Agent(machine=machine.cause, client=machine.id, device="bot")
        client = _first(self._clients, line)
        if client is not None and client.is_proxy:
            return Agent(client=client.name, is_proxy=True)
        system = _first(self._systems, line)
        return Agent(
            client=client.name if client else "",
            device=system.device if system else "",
            os=system.os if system else "",
        )


_R = TypeVar("_R")


def _first(rules: Sequence[tuple[re.Pattern[str], _R]], line: str) -> _R | None:
    return next((rule for pattern, rule in rules if pattern.search(line)), None)


def parse(text: str) -> AgentBook:
    """Read the file.

    Raises:
        ConfigError: a key is unknown or missing, an id is used twice, a pattern is broken; it says where.
    """
    rules = rulefile.read_toml(text, Rules, _TITLE)
    rulefile.check_rules((*rules.machine, *rules.client, *rules.system))
    bare = next((rule.id for rule in (*rules.machine, *rules.client, *rules.system) if not rule.samples), None)
    if bare is not None:
        raise ConfigError(f"{_TITLE}: {bare} has no sample.")
    return AgentBook(rules)


def judge(
    hits: Sequence[Hit],
    bonds: Mapping[UUID, Bond],
    book: AgentBook,
    *,
    beside: Sequence[Hit] = (),
    marked: Mapping[Visitor, str],
    too_soon_s: float,
) -> Sequence[Judgement]:
    """Return what each of `hits` was, in their order.

    Args:
        bonds: of each recipient of `hits`.
        beside: hits that are not judged yet and came at the same time, which show what is one of many.
        marked: visitors that are machines for what they did before, with the cause.
    """
    trapped = {hit.visitor for hit in (*hits, *beside) if hit.number == HONEY_NUMBER}
    bursts = _bursts((*hits, *beside))
    judgements = []
    for hit in hits:
        agent = book.read(hit.agent)
        bond = bonds[hit.recipient_id]
        since_s = (hit.at - bond.delivered_at).total_seconds() if bond.delivered_at else None
        cause = ""
        if trapped or marked:
            cause = HONEY if hit.visitor in trapped else marked.get(hit.visitor, "")
        cause = cause or (PREFETCH if hit.is_prefetch else agent.machine)
        if not cause and hit.is_click:
            cause = _cause_of_pace(hit, bond, since_s, bursts, too_soon_s)
        judgements.append(Judgement(cause, agent, since_s))
    return judgements


def _cause_of_pace(
    hit: Hit, bond: Bond, since_s: float | None, bursts: frozenset[tuple[UUID, str, int]], too_soon_s: float
) -> str:
    if bursts and (hit.recipient_id, hit.ip, hit.number) in bursts:
        return ALL_LINKS
    is_soon = bond.is_untried if since_s is None else since_s < too_soon_s
    return TOO_SOON if is_soon else ""


def _bursts(hits: Sequence[Hit]) -> frozenset[tuple[UUID, str, int]]:
    """Return the links (recipient, address, number) that were followed at once with others of the same mail."""
    by_source: dict[tuple[int, str], list[Hit]] = {}
    for hit in hits:
        if hit.is_click:
            by_source.setdefault((hit.recipient_id.int, hit.ip), []).append(hit)
    found: set[tuple[UUID, str, int]] = set()
    for clicks in by_source.values():
        if len(clicks) < _BURST_COUNT:
            continue
        clicks.sort(key=lambda hit: hit.at)
        for earlier, later in pairwise(clicks):
            if earlier.number != later.number and (later.at - earlier.at).total_seconds() < BURST_S:
                found |= {(hit.recipient_id, hit.ip, hit.number) for hit in (earlier, later)}
    return frozenset(found)

"""Where a provider takes twelve mails a minute, lanes are sent away and come back: streams and projects have turns.

Three projects want the same server: one with mail in three lanes, one with mail in one, one with marketing. Before
lanes that are away were remembered (`engine.turns.Absence`), the first that came after a token had it.
"""

import msgspec
import pytest

from outrider.base.vocab import Stream
from outrider.engine.settings import EngineSettings
from outrider.policy.settings import EgressSettings, MemberEntry, SourceEntry
from outrider.testing.simnet import Manners
from outrider.testing.simplan import Call, Domain, Node, Plan, draw
from outrider.testing.simulation import play

DOMAINS = [Domain(f"d{n}.example", "mx.site.example", "10.0.0.1", Manners()) for n in range(4)]
SETTLED_S = 15.0  # What was there first went as far as the first burst went.
PROVIDERS = """
[[provider]]
name = "default"
rates = "12/min"
[[provider]]
name = "smarthost"
[[provider]]
name = "catch"
"""
MANY, FEW, MARKETING = 0, 1, 2


def make_plan(seed: int) -> Plan:
    """Return a plan in which each has more than the server takes, and nothing goes wrong."""
    to_three = tuple(f"a{n}@d{n % 3}.example" for n in range(60))
    to_one = tuple(f"b{n}@d3.example" for n in range(40))
    calls = [
        Call(0.0, MANY, Stream.TRANSACTIONAL, to_three),
        Call(0.0, FEW, Stream.TRANSACTIONAL, to_one),
        Call(0.0, MARKETING, Stream.MARKETING, tuple(f"c{n}@d{n % 4}.example" for n in range(20))),
    ]
    egress = EgressSettings(
        sources={"mta": SourceEntry(address="192.0.2.1")}, pools={"default": {"mta": MemberEntry()}}
    )
    return msgspec.structs.replace(
        draw(seed),
        project_count=3,
        domains=DOMAINS,
        nodes=[Node("node", 1, egress)],
        calls=calls,
        troubles=[],
        shaping=PROVIDERS,
        engine=EngineSettings(accept_wait_s=0.0),
        per_minute={},
        ceilings={},
        lost_answer_ratio=0.0,
        end_s=150.0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_transactional_mail_goes_first_and_projects_take_turns(seed: int) -> None:
    let_in = [one for one in play(make_plan(seed)).admissions if one.at_s > SETTLED_S]
    assert len(let_in) >= 0.85 * 12 * (150 - SETTLED_S) / 60, "the limit is used"
    assert {one.stream for one in let_in} == {Stream.TRANSACTIONAL}
    projects = "".join(str(one.project_id.int - 1) for one in let_in)
    assert "0000" not in projects, projects
    assert "1111" not in projects, projects

"""What we claim to know of agents has a source, a date and samples that reach their rule first (agents.toml)."""

from outrider.knowledge import agents
from outrider.policy.engagement import AgentBook, MachineRule, parse
from tests.tidy.sources import refuse


def flaws(book: AgentBook) -> list[str]:
    """Return what is wrong with the rules, a sentence each."""
    found = []
    for rule in (*book.rules.machine, *book.rules.client, *book.rules.system):
        if not rule.source:
            found.append(f"{rule.id}: no source")
        for sample in rule.samples:
            agent = book.read(sample)
            if isinstance(rule, MachineRule):
                is_reached = (agent.machine, agent.client) == (rule.cause, rule.id)
            elif hasattr(rule, "name"):
                is_reached = not agent.machine and agent.client == rule.name
            else:
                is_reached = not agent.machine and (agent.os, agent.device) == (rule.os, rule.device)
            if not is_reached:
                found.append(f"{rule.id}: {sample!r} comes to {agent}")
    return found


def test_every_sample_reaches_its_rule() -> None:
    refuse(flaws(agents()))


def test_a_rule_behind_a_wider_one_is_found() -> None:
    rule = '[[machine]]\nid = "{0}"\npattern = "{1}"\ncause = "{0}"\nsource = "s"\n'
    rule += 'seen_on = 2026-01-01\nsamples = ["{2}"]\n'
    text = "client = []\nsystem = []\n" + rule.format("wide", "bot", "a bot") + rule.format("narrow", "mybot", "mybot")
    assert [flaw.partition(":")[0] for flaw in flaws(parse(text))] == ["narrow"]

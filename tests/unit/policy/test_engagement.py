"""People are told from machines: by their agent, their pace, and the link that no reader sees."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import ConfigError
from outrider.knowledge import agents
from outrider.mail.link_tokens import HONEY_NUMBER
from outrider.policy.engagement import Bond, Hit, Judgement, judge, parse

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
ANN = UUID(int=1)
BOB = UUID(int=2)
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
BONDS = dict.fromkeys((ANN, BOB), Bond(AT - timedelta(hours=1)))


def hit(*, click: int = 0, after_s: float = 0.0, **changes: Any) -> Hit:
    given = {"recipient_id": ANN, "ip": "192.0.2.7", "agent": FIREFOX} | changes
    return Hit(is_click=bool(click), number=click, at=AT + timedelta(seconds=after_s), **given)


def judged(*hits: Hit, bonds: Any = BONDS, **named: Any) -> list[Judgement]:
    return list(judge(hits, bonds, agents(), **{"marked": {}, "too_soon_s": 2.0} | named))


def causes(*hits: Hit, **named: Any) -> list[str]:
    return [one.machine for one in judged(*hits, **named)]


def test_a_reader_has_a_program_and_a_device() -> None:
    (one,) = judged(hit(click=1))
    assert (one.machine, one.since_s) == ("", 3600.0)
    assert (one.agent.client, one.agent.device, one.agent.os) == ("Firefox", "desktop", "Windows")


def test_who_looks_through_gmail_is_a_person_with_no_known_device() -> None:
    (one,) = judged(hit(agent=GMAIL))
    assert (one.machine, one.agent.client, one.agent.device, one.agent.os) == ("", "Gmail", "", "")


@pytest.mark.parametrize(
    ("agent", "cause"),
    [("Mozilla/5.0", "apple_privacy"), ("", "no_agent"), ("curl/8.5.0", "script"), ("WhatsApp/2.23", "preview")],
)
def test_machines_that_say_so(agent: str, cause: str) -> None:
    assert causes(hit(agent=agent), hit(agent=agent, click=1)) == [cause, cause]


def test_a_link_followed_before_anybody_could_read_is_a_machines() -> None:
    soon = {ANN: Bond(AT - timedelta(seconds=1))}
    assert causes(hit(click=1), hit(), bonds=soon) == ["too_soon", ""]  # A mail is shown as soon as it comes.
    assert causes(hit(click=1), bonds={ANN: Bond(None, is_untried=True)}) == ["too_soon"]
    assert causes(hit(click=1), bonds={ANN: Bond(None)}) == [""]
    assert causes(hit(click=1), bonds=soon, too_soon_s=0.5) == [""]


def test_many_links_at_once_are_a_machines_and_one_link_often_is_not() -> None:
    assert causes(hit(click=1), hit(click=2, after_s=0.4), hit(click=3, after_s=5)) == ["all_links", "all_links", ""]
    assert causes(hit(click=1), hit(click=1, after_s=0.1)) == ["", ""]
    assert causes(hit(click=1), hit(click=2, ip="192.0.2.8")) == ["", ""]
    assert causes(hit(click=1), hit(click=2, recipient_id=BOB)) == ["", ""]
    assert causes(hit(click=1), beside=[hit(click=2, after_s=0.4)]) == ["all_links"]


def test_who_follows_the_hidden_link_is_a_machine_in_all_it_does() -> None:
    trap = hit(click=HONEY_NUMBER, after_s=3)
    assert causes(hit(), hit(click=1), trap) == ["honey", "honey", "honey"]
    assert causes(hit(click=1), hit(click=1, ip="192.0.2.8"), beside=[trap]) == ["honey", ""]
    (one,) = judged(trap)
    assert one.lasts
    assert causes(hit(click=1), marked={trap.visitor: "honey"}) == ["honey"]


def test_what_is_fetched_ahead_is_nobodys() -> None:
    assert causes(hit(is_prefetch=True), hit(click=1, is_prefetch=True)) == ["prefetch", "prefetch"]


RULE = 'id = "x"\npattern = "x"\nsource = "s"\nseen_on = 2026-01-01\n'


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ('samples = []\ncause = "c"', "x has no sample"),
        ('samples = ["x"]\ncause = "c"\n[[machine]]\n' + RULE + 'samples = ["x"]\ncause = "c"', "Two rules"),
        ('samples = ["x"]', "machine x: "),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(changed: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(f"client = []\nsystem = []\n[[machine]]\n{RULE}{changed}")

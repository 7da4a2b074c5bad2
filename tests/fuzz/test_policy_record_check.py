"""Whatever DNS says, every wanted record gets a finding that can be stored and shown."""

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.base.vocab import RecordCause, RecordState
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Result
from outrider.policy import record_check
from outrider.policy.record_check import Seen, SpfSeen
from outrider.policy.records import Wanted
from tests.unit.net.record_cases import DOMAIN, PLAN, right

KNOWN: Final = sorted(text for node in right().values() for text in node.txt)
PASSING: Final = {RecordCause.NONE, RecordCause.INHERITED, RecordCause.NOT_REPORTED, RecordCause.TOO_OPEN}

cut = st.builds(
    lambda text, start, end: text[start:end], st.sampled_from(KNOWN), st.integers(0, 40), st.integers(0, 400)
)
texts = st.sampled_from(KNOWN) | cut | st.text(max_size=60) | st.sampled_from(["v=spf1 ", "v=DMARC1;", "v=DKIM1; p"])
names = st.sampled_from(["mx.op.example", "track.op.example", "a.example", ""]) | st.text("ab.-_é\x00", max_size=20)
mail_hosts = st.builds("{} {}".format, st.integers(0, 65535), names)


@st.composite
def looks(draw: st.DrawFn, wanted: Wanted, type_: str) -> Look:
    """Give any answer to a question."""
    outcome = draw(st.sampled_from(Outcome))
    values = {"TXT": texts, "MX": mail_hosts, "CNAME": names}[type_]
    name = draw(st.sampled_from([wanted.host, *record_check.suspects(wanted, DOMAIN)]))
    found = draw(st.lists(values, min_size=1, max_size=3)) if outcome is Outcome.FOUND else []
    return Look(name, type_, outcome, tuple(found), (1,) * len(found), tuple(draw(st.lists(names, max_size=2))))


@st.composite
def sights(draw: st.DrawFn) -> tuple[Wanted, Seen]:
    """Give any wanted record and anything that may be seen of it."""
    wanted = draw(st.sampled_from(PLAN))
    evaluations = st.builds(
        Evaluation, result=st.sampled_from(Result), reason=st.text(max_size=9), lookups_count=st.integers(0, 41)
    )
    addresses = st.lists(st.ip_addresses().map(str) | st.just("104.16.0.1"), max_size=2)
    seen = Seen(
        look=draw(looks(wanted, wanted.type)),
        has_domain=draw(st.booleans()),
        elsewhere=draw(st.lists(looks(wanted, wanted.type), max_size=2)),
        text=draw(st.none() | looks(wanted, "TXT")),
        chain=draw(st.lists(names, max_size=2)),
        addresses=draw(addresses),
        target_addresses=draw(addresses),
        inherited=draw(st.none() | looks(wanted, "TXT")),
        permission=draw(st.none() | looks(wanted, "TXT")),
        spf=draw(
            st.none()
            | st.builds(
                SpfSeen, walk=evaluations, checks=st.dictionaries(st.ip_addresses().map(str), evaluations, max_size=2)
            )
        ),
    )
    return wanted, seen


@given(sights())
@example((PLAN[0], Seen(look=Look(PLAN[0].host, "TXT", Outcome.FOUND, ("\ud800",)))))
def test_every_sight_has_a_finding(sight: tuple[Wanted, Seen]) -> None:
    wanted, seen = sight
    finding = record_check.judge(wanted, seen)
    assert finding.wanted is wanted
    assert (finding.state is RecordState.UNVERIFIED) == finding.cause.is_temporary
    if finding.state is RecordState.FAILED:
        assert finding.cause not in PASSING
    assert finding.state is RecordState.PASSED or finding.advice
    assert all(text.isprintable() for text in (*finding.seen, finding.advice)), finding
    assert len(finding.advice) < 900
    assert finding.publish
    if seen.look.outcome.is_temporary:
        assert finding.state is RecordState.UNVERIFIED

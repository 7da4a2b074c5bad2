"""What is said of a key that is not as it should be. More of it on real servers: tests/unit/net/test_records.py."""

from itertools import permutations

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail import txt
from outrider.mail.look import Look, Outcome
from outrider.policy import record_keys
from outrider.policy.record_finding import Finding, Seen
from outrider.policy.records import Wanted
from tests.unit.net.record_cases import ED, RSA

HOST = "r1._domainkey.shop.example"
WANTED = Wanted(
    kind=RecordKind.DKIM, type="TXT", host=HOST, value=RSA, is_required=True, why=".", selector="r1", key=RSA
)


def judge(*texts: str, wanted: Wanted = WANTED) -> Finding:
    return record_keys.judge(wanted, Seen(look=Look(HOST, "TXT", Outcome.FOUND, texts)))


def test_other_tags_around_our_key_are_as_good() -> None:
    key = RSA.partition("p=")[2]
    for text in (f"p={key}", f"v=DKIM1;h=sha256:sha1;k=rsa;t=s;n=note;p={key};", f"k=rsa; p={key[:70]} {key[70:]}"):
        assert judge(text).state is RecordState.PASSED


def test_strings_published_as_records_are_told_in_any_order() -> None:
    pieces = [RSA[:100], RSA[100:180], RSA[180:]]
    for order in permutations(pieces):
        finding = judge(*order)
        assert (finding.cause, "split into 3 records" in finding.advice) == (RecordCause.SEVERAL, True)


def test_many_records_cost_no_more_than_few() -> None:
    assert judge(*[f"v=DKIM1; p=A{n}" for n in range(200)]).cause is RecordCause.SEVERAL


def test_where_a_cut_begins_is_told() -> None:
    finding = judge(txt.strings(RSA + "=" * 0)[0][:200])
    assert "of its 216 characters are missing from character " in finding.advice


def test_whose_a_text_is() -> None:
    assert record_keys.is_ours(WANTED, RSA)
    assert not any(record_keys.is_ours(WANTED, text) for text in (ED, "", "v=DKIM1", RSA[:-4], "junk"))


def test_a_name_kept_for_the_next_key_needs_its_alias_alone() -> None:
    wanted = msgspec.structs.replace(WANTED, type="CNAME", value="r2.op.example", key="")
    right = Look(HOST, "CNAME", Outcome.FOUND, ("r2.op.example",))
    for text in (Look(HOST, "TXT", Outcome.NO_NAME), Look(HOST, "TXT", Outcome.TIMED_OUT), None):
        assert record_keys.judge(wanted, Seen(look=right, text=text)).state is RecordState.PASSED
    other = Look(HOST, "CNAME", Outcome.FOUND, ("else.example",))
    assert record_keys.judge(wanted, Seen(look=other)).cause is RecordCause.OTHER_VALUE
    copied = Seen(look=Look(HOST, "CNAME", Outcome.EMPTY), text=Look(HOST, "TXT", Outcome.FOUND, (RSA,)))
    assert record_keys.judge(wanted, copied).cause is RecordCause.OTHER_VALUE
    empty = Seen(look=Look(HOST, "CNAME", Outcome.EMPTY), text=Look(HOST, "TXT", Outcome.FOUND, ("v=DKIM1; p=",)))
    assert record_keys.judge(wanted, empty).state is RecordState.FAILED


def test_a_delegated_key_that_nobody_asked_for_is_missing() -> None:
    wanted = msgspec.structs.replace(WANTED, type="CNAME", value="r1.op.example")
    finding = record_keys.judge(wanted, Seen(look=Look(HOST, "CNAME", Outcome.NO_NAME)))
    assert finding.cause is RecordCause.MISSING

"""What an answer means. The rules themselves are shown by their samples in tests/tidy/test_rule_lint.py."""

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outrider.policy
from outrider.base import limits
from outrider.base.errors import ConfigError
from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import (
    CONFIRM_AFTER_S,
    Classifier,
    Verdict,
    line_of,
    merged,
    parse_own_rules,
    parse_rules,
    version_of,
)
from outrider.policy.reason import Reason
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply, parse_reply

CLASSIFIER: Final = Classifier(parse_rules((Path(outrider.policy.__path__[0]) / "rules.toml").read_text("utf-8")))
VERSION: Final = CLASSIFIER.rules_version
HARD: Final = (
    Reason.RECIPIENT_INVALID,
    Reason.RECIPIENT_DOMAIN_INVALID,
    Reason.RECIPIENT_DISABLED,
    Reason.RECIPIENT_MOVED,
)
ABOUT_THE_MESSAGE: Final = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT)
ABOUT_US: Final = tuple(phase for phase in Phase if phase not in ABOUT_THE_MESSAGE)

replies = st.builds(
    Reply,
    st.integers(200, 599),
    st.sampled_from(["", "4.7.1", "5.1.1", "5.7.1", "5.2.2", "4.4.2", "5.5.1", "5.99.999"]),
    st.text(max_size=40) | st.sampled_from(["User unknown", "relaying denied", "greylisted\nlater", "blocked by rbl"]),
)


def judge(line: str, phase: Phase = Phase.RCPT, *, attempt: int = 0, age_s: float = 0.0) -> Verdict:
    return CLASSIFIER.judge(Answer(phase, parse_reply([line.encode()])), attempt=attempt, age_s=age_s)


def test_only_a_yes_to_the_final_dot_is_a_delivery() -> None:
    verdicts = {phase: judge("250 2.0.0 queued", phase) for phase in Phase}
    assert verdicts.pop(Phase.DOT) == Verdict(Fate.DELIVERED, "accepted")
    assert set(verdicts.values()) == {Verdict(Fate.DEFERRED, "protocol")}


@pytest.mark.parametrize("line", ["354 go ahead", "334 challenge"])
def test_an_intermediate_reply_at_the_end_delivers_nothing(line: str) -> None:
    assert judge(line, Phase.DOT) == Verdict(Fate.DEFERRED, Reason.PROTOCOL)


@pytest.mark.parametrize("phase", ABOUT_THE_MESSAGE)
def test_a_refusal_that_no_rule_explains_ends_this_message_only(phase: Phase) -> None:
    assert judge("550 Computer says no", phase) == Verdict(Fate.BOUNCED, "unknown.hard", rules_version=VERSION)


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.GREETING, Phase.EHLO])
@pytest.mark.parametrize("line", ["554 Computer says no", "421 later", "550 5.1.1 No such user", "554 5.7.1 Spam"])
def test_a_refusal_before_mail_is_about_us_and_temporary(phase: Phase, line: str) -> None:
    assert judge(line, phase, attempt=9, age_s=1e6).fate is Fate.DEFERRED


@pytest.mark.parametrize(("phase", "reason"), [(Phase.STARTTLS, Reason.TLS), (Phase.AUTH, Reason.RELAY_DENIED)])
def test_a_refused_starttls_or_auth_is_temporary_whatever_it_says(phase: Phase, reason: Reason) -> None:
    for line in ("550 5.1.1 No such user", "535 5.7.8 wrong", "454 not now"):
        verdict = judge(line, phase, attempt=9, age_s=1e6)
        assert (verdict.fate, verdict.reason) == (Fate.DEFERRED, reason)


@pytest.mark.parametrize("phase", ABOUT_THE_MESSAGE)
def test_a_4xx_that_no_rule_explains_is_tried_again(phase: Phase) -> None:
    assert judge("451 Computer says perhaps", phase) == Verdict(Fate.DEFERRED, "unknown.soft", rules_version=VERSION)


@pytest.mark.parametrize(
    ("line", "phase", "fate", "reason"),
    [
        # The list: a 5xx about pace or about our address is never the recipient's fault.
        ("550 5.7.28 unusual rate of unsolicited email", Phase.RCPT, Fate.DEFERRED, Reason.RATE_PROVIDER),
        ("550 Ip frequency limited", Phase.RCPT, Fate.DEFERRED, Reason.RATE_PROVIDER),
        ("550 5.7.1 their network is on our block list (S3140)", Phase.MAIL, Fate.DEFERRED, Reason.IP_REPUTATION),
        ("554 5.7.1 Your IP address 192.0.2.7 is blocked", Phase.RCPT, Fate.DEFERRED, Reason.IP_REPUTATION),
        ("554 Blocked using zen.spamhaus.org", Phase.GREETING, Fate.DEFERRED, Reason.IP_REPUTATION),
        ("552 5.2.2 over quota", Phase.RCPT, Fate.DEFERRED, Reason.RECIPIENT_FULL),
        # Text before code: they say 5.7.1 and mean the person, or 5.1.1 and mean the quota.
        ("550 5.7.1 No such user!", Phase.RCPT, Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        ("552 5.1.1 recipient rejected - extended quota violation", Phase.RCPT, Fate.DEFERRED, Reason.RECIPIENT_FULL),
        # The same words in another phase.
        ("550 5.1.1 rejected", Phase.MAIL, Fate.BOUNCED, Reason.UNKNOWN_HARD),
        ("550 5.1.1 rejected", Phase.DOT, Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        ("552 no", Phase.RCPT, Fate.DEFERRED, Reason.RECIPIENT_FULL),
        ("552 no", Phase.DOT, Fate.BOUNCED, Reason.MAILBOX_TOO_LARGE),
        # A temporary code makes it temporary, whatever the words.
        ("450 4.1.1 User unknown", Phase.RCPT, Fate.DEFERRED, Reason.RECIPIENT_INVALID),
        ("421 5.7.32 not aligned", Phase.DOT, Fate.DEFERRED, Reason.SENDER_AUTH),
        # qmail says its enhanced code at the end.
        ("553 sorry, not here (#5.1.1)", Phase.RCPT, Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        ("553 sorry, not here (#5.1.1)", Phase.MAIL, Fate.BOUNCED, Reason.UNKNOWN_HARD),
        ("451 sorry, not here (#4.3.0)", Phase.RCPT, Fate.DEFERRED, Reason.NETWORK),
        # An address in brackets is no enhanced code, a sender is no recipient.
        ("550 192.0.5.1.1 rejected", Phase.RCPT, Fate.BOUNCED, Reason.UNKNOWN_HARD),
        ("550 5.1.8 Sender address unknown", Phase.RCPT, Fate.BOUNCED, Reason.SENDER_INVALID),
    ],
)  # fmt: skip
def test_what_replies_mean(line: str, phase: Phase, fate: Fate, reason: Reason) -> None:
    verdict = judge(line, phase)
    assert (verdict.fate, verdict.reason) == (fate, reason)


@pytest.mark.parametrize(
    ("cause", "phase", "fate", "reason"),
    [
        (Cause.TIMEOUT, Phase.CONNECT, Fate.DEFERRED, Reason.NETWORK),
        (Cause.REFUSED, Phase.CONNECT, Fate.DEFERRED, Reason.NETWORK),
        (Cause.RESET, Phase.RCPT, Fate.DEFERRED, Reason.NETWORK),
        (Cause.UNREACHABLE, Phase.CONNECT, Fate.DEFERRED, Reason.NETWORK),
        (Cause.NO_HOST, Phase.CONNECT, Fate.DEFERRED, Reason.NETWORK),
        (Cause.NO_HOST, Phase.ROUTE, Fate.DEFERRED, Reason.RECIPIENT_DOMAIN_INVALID),
        (Cause.TLS, Phase.STARTTLS, Fate.DEFERRED, Reason.TLS),
        (Cause.PROTOCOL, Phase.EHLO, Fate.DEFERRED, Reason.PROTOCOL),
        (Cause.UNSUPPORTED, Phase.MAIL, Fate.BOUNCED, Reason.RECIPIENT_POLICY),
        (Cause.UNSUPPORTED, Phase.AUTH, Fate.DEFERRED, Reason.PROTOCOL),
        (Cause.TOO_LARGE, Phase.MAIL, Fate.BOUNCED, Reason.MAILBOX_TOO_LARGE),
        (Cause.DNS_TEMPORARY, Phase.ROUTE, Fate.DEFERRED, Reason.DNS_TEMP),
        (Cause.DNS_NO_DOMAIN, Phase.ROUTE, Fate.DEFERRED, Reason.RECIPIENT_DOMAIN_INVALID),
        (Cause.DNS_NULL_MX, Phase.ROUTE, Fate.BOUNCED, Reason.RECIPIENT_DOMAIN_INVALID),
        (Cause.INTERNAL, Phase.CONNECT, Fate.DEFERRED, Reason.INTERNAL),
    ],
)
def test_what_silence_means(cause: Cause, phase: Phase, fate: Fate, reason: Reason) -> None:
    assert CLASSIFIER.judge(Answer(phase, None, cause)) == Verdict(fate, reason)


@pytest.mark.parametrize("cause", Cause)
def test_silence_after_the_dot_is_ambiguous_and_tried_again(cause: Cause) -> None:
    verdict = CLASSIFIER.judge(Answer(Phase.DOT, None, cause), attempt=9, age_s=1e6)
    assert (verdict.fate, verdict.is_ambiguous) == (Fate.DEFERRED, True)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DOT])
def test_silence_before_the_dot_is_not_ambiguous(cause: Cause, phase: Phase) -> None:
    assert not CLASSIFIER.judge(Answer(phase, None, cause)).is_ambiguous


@pytest.mark.parametrize(
    ("attempt", "age_s", "fate"),
    [
        (0, 0.0, Fate.DEFERRED),
        (0, 1e6, Fate.DEFERRED),  # We were down for days: the first look is still the first.
        (1, CONFIRM_AFTER_S - 1, Fate.DEFERRED),
        (1, CONFIRM_AFTER_S, Fate.BOUNCED),
        (7, CONFIRM_AFTER_S, Fate.BOUNCED),
    ],
)
def test_what_may_be_a_move_must_still_be_so_an_hour_later(attempt: int, age_s: float, fate: Fate) -> None:
    for answer in (
        Answer(Phase.ROUTE, None, Cause.DNS_NO_DOMAIN),
        Answer(Phase.ROUTE, None, Cause.NO_HOST),
        Answer(Phase.RCPT, Reply(550, "5.7.1", "Relaying denied")),
        Answer(Phase.DATA, Reply(503, "5.5.1", "Bad sequence of commands")),
    ):
        assert CLASSIFIER.judge(answer, attempt=attempt, age_s=age_s).fate is fate


@given(reply=replies, phase=st.sampled_from(Phase), attempt=st.integers(0, 99), age_s=st.floats(0, 1e7))
def test_every_answer_has_a_verdict_and_a_bounce_has_its_reasons(
    reply: Reply, phase: Phase, attempt: int, age_s: float
) -> None:
    verdict = CLASSIFIER.judge(Answer(phase, reply), attempt=attempt, age_s=age_s)
    assert verdict.reason in set(Reason)
    assert verdict.fate is not Fate.BOUNCED or (reply.severity == 5 and phase in ABOUT_THE_MESSAGE)
    assert verdict.fate is not Fate.DELIVERED or (reply.severity == 2 and phase is Phase.DOT)
    assert not verdict.is_ambiguous


@given(reply=replies)
def test_people_are_never_blamed_at_mail(reply: Reply) -> None:
    blamed = (Reason.RECIPIENT_INVALID, Reason.RECIPIENT_DISABLED, Reason.RECIPIENT_MOVED)
    assert CLASSIFIER.judge(Answer(Phase.MAIL, reply)).reason not in blamed


def test_a_reply_of_many_lines_is_read_as_one() -> None:
    reply = parse_reply([b"550-5.7.1 The message was refused because", b"550 5.7.1 relay access", b"550 5.7.1 denied"])
    assert line_of(reply) == "550 5.7.1 The message was refused because relay access denied"
    assert CLASSIFIER.judge(Answer(Phase.RCPT, reply)).rule == "text.relay"


def test_an_endless_text_is_not_searched_to_its_end() -> None:
    reply = Reply(550, "", "x" * limits.REPLY_TEXT_CHARS_KEPT_MAX + " User unknown")
    assert CLASSIFIER.judge(Answer(Phase.RCPT, reply)).reason == Reason.UNKNOWN_HARD
    assert len(line_of(reply)) <= limits.REPLY_TEXT_CHARS_KEPT_MAX + 12


def test_reasons_are_the_words_of_the_survey() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?", reason) for reason in Reason)


def test_two_classifiers_share_nothing() -> None:
    table = (
        "id='x'\nreason='greylist'\npattern='no'\nfate='deferred'\nsource='us'\nseen_on=2026-01-01\nsamples=['550 no']"
    )
    own = Classifier(parse_rules(f"[[rule]]\n{table}"))
    answer = Answer(Phase.RCPT, Reply(550, "", "no"))
    assert own.judge(answer).rule == "x"
    assert CLASSIFIER.judge(answer).rule == ""


def test_the_version_is_that_of_exactly_these_rules() -> None:
    rules = parse_rules((Path(outrider.policy.__path__[0]) / "rules.toml").read_text("utf-8"))
    assert re.fullmatch(r"[0-9a-f]{12}", VERSION)
    assert version_of(rules) == VERSION
    others = (rules[1:], rules[::-1], [*rules[:-1], msgspec.structs.replace(rules[-1], pattern="other")], [])
    assert len({VERSION, *map(version_of, others)}) == 5


def test_what_no_rule_was_asked_about_has_no_version() -> None:
    assert judge("250 queued", Phase.DOT).rules_version == ""
    assert CLASSIFIER.judge(Answer(Phase.CONNECT, None, Cause.TIMEOUT)).rules_version == ""
    assert judge("550 5.1.1 User unknown").rules_version == VERSION


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "fate", "reason"),
    [
        # A code alone says nothing about whom: it is not known where it came.
        (550, "", "", Fate.BOUNCED, Reason.UNKNOWN_HARD),
        (550, "5.0.0", "Transaction failed", Fate.BOUNCED, Reason.UNKNOWN_HARD),
        (551, "", "smtp; 551 no", Fate.BOUNCED, Reason.UNKNOWN_HARD),
        (552, "", "smtp; 552 no", Fate.BOUNCED, Reason.UNKNOWN_HARD),
        (0, "", "", Fate.BOUNCED, Reason.UNKNOWN_HARD),
        (0, "4.0.0", "", Fate.DEFERRED, Reason.UNKNOWN_SOFT),
        # The enhanced code and the words do.
        (0, "5.1.1", "", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (550, "5.1.1", "smtp; 550 5.1.1 <user@corp.example>... User unknown", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (0, "", "smtp;550 No such user here", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (0, "5.0.0", "Sorry, no mailbox here by that name. (#5.1.1)", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (0, "5.0.0", "go away (#5.1.1)", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (0, "5.1.1", "smtp; 550 5.7.1 Blocked using zen.spamhaus.org", Fate.DEFERRED, Reason.IP_REPUTATION),
        (0, "", "smtp; 452-4.2.2 The inbox is 452-4.2.2 out of storage space.", Fate.DEFERRED, Reason.RECIPIENT_FULL),
        # What the gateway adds is heard only where the server's own words say nothing.
        (550, "", "Address unknown. | Rejected by the recipient domain.", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        (550, "", "Sorry. | Rejected by the recipient domain.", Fate.BOUNCED, Reason.RECIPIENT_POLICY),
        # Folded by a gateway: the words are found across the codes.
        (0, "", "smtp; 550-5.1.1 It does 550-5.1.1 not exist. 550 5.1.1 Bye", Fate.BOUNCED, Reason.RECIPIENT_INVALID),
        # Final for its author, temporary in itself: the person is not blamed for good.
        (450, "4.1.1", "smtp; 450 4.1.1 User unknown", Fate.DEFERRED, Reason.RECIPIENT_INVALID),
        (550, "4.4.7", "QUEUE.Expired; message expired", Fate.DEFERRED, Reason.EXPIRED),
        (0, "5.4.7", "Delivery time expired", Fate.BOUNCED, Reason.EXPIRED),
        # Nothing is confirmed twice: nobody asks again.
        (554, "5.7.1", "smtp; 554 5.7.1 Relay access denied", Fate.BOUNCED, Reason.RELAY_DENIED),
    ],
)  # fmt: skip
def test_what_reports_mean(code: int, enhanced: str, text: str, fate: Fate, reason: Reason) -> None:
    verdict = CLASSIFIER.judge_report(code, enhanced, text)
    assert (verdict.fate, verdict.reason, verdict.rules_version) == (fate, reason, VERSION)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host mx[192.0.2.25] said: 552 no (in reply to RCPT TO command)", Reason.RECIPIENT_FULL),
        ("host mx[192.0.2.25] said: 552 no (in reply to end of DATA command)", Reason.MAILBOX_TOO_LARGE),
        ("host mx said: 550 5.1.1 no (in reply to MAIL FROM command)", Reason.UNKNOWN_HARD),
        ("SMTP error from remote mail server after RCPT TO:<u@corp.example>: 552 no", Reason.RECIPIENT_FULL),
        ("SMTP error from remote mail server after MAIL FROM:<a@shop.example>: 550 No such user", Reason.UNKNOWN_HARD),
        ("SMTP error from remote mail server after end of data: 552 no", Reason.MAILBOX_TOO_LARGE),
    ],
)
def test_a_phase_that_the_report_names_counts(text: str, reason: Reason) -> None:
    assert CLASSIFIER.judge_report(0, "", text).reason == reason


@given(
    code=st.integers(0, 999) | st.sampled_from([0, 421, 450, 550, 551, 552, 554]),
    enhanced=st.sampled_from(["", "5.0.0", "4.0.0", "5.7.1", "5.1.1", "4.2.2", "9.9.9", "x"]),
    text=st.text(max_size=80) | st.sampled_from(["smtp; 550 5.1.1 User unknown", "rate limited", "blocked by rbl"]),
)
def test_every_report_has_a_verdict(code: int, enhanced: str, text: str) -> None:
    verdict = CLASSIFIER.judge_report(code, enhanced, text)
    assert verdict.reason in set(Reason)
    assert verdict.fate is not Fate.DELIVERED
    assert verdict.fate is not Fate.BOUNCED or (code in (0, *range(500, 600)) and not enhanced.startswith("4"))


@given(code=st.integers(400, 599))
def test_a_basic_code_alone_blames_nobody_in_a_report(code: int) -> None:
    verdict = CLASSIFIER.judge_report(code, "", "no")
    assert (verdict.rule, verdict.reason) == ("", Reason.UNKNOWN_HARD if code >= 500 else Reason.UNKNOWN_SOFT)


@pytest.mark.parametrize("enhanced", ["", "5.1.1", "5.1.0", "5.0.0", "5.7.1", "5.1.2"])
@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT])
@pytest.mark.parametrize(
    "text",
    [
        "Your IP 192.0.2.7 is blocked",
        "192.0.2.7 is listed at zen.spamhaus.org, unknown user",
        "Client host [192.0.2.7] blocked: no such user of ours",
        "Client address not found in DNS",
        "unknown host [192.0.2.7]",
        "No such domain in your EHLO",
        "Sender domain not found",
        "Sender address rejected: User unknown",
        "Unknown sender, no such user",
        "SPF check failed, address unknown",
        "rejected per DMARC policy, no such mailbox",
        "Rate limit exceeded for unknown recipients",
        "Too many unknown users",
        "too many connections, account suspended",
        "Message blocked as spam",
        "Message rejected: virus found",
        "relaying denied, domain not found",
        "reverse DNS: address does not exist",
        "[TSS04] unknown user",
        "Greylisted, user unknown so far",
    ],
)
def test_a_5xx_that_names_address_rate_auth_or_content_is_never_the_recipients_fault(
    text: str, phase: Phase, enhanced: str
) -> None:
    assert CLASSIFIER.judge(Answer(phase, Reply(550, enhanced, text))).reason not in HARD
    assert CLASSIFIER.judge_report(550, enhanced, text).reason not in HARD


OWN: Final = """
[[rule]]
id = "strict.no-user"
reason = "recipient.invalid"
pattern = '(?!)'
fate = "bounced"
source = "us"
seen_on = 2026-11-24
samples = []
"""


def test_an_own_rule_that_nothing_matches_puts_ours_out_of_force() -> None:
    rules = parse_rules((Path(outrider.policy.__path__[0]) / "rules.toml").read_text("utf-8"))
    answer = Answer(Phase.RCPT, Reply(550, "5.1.1", "no such user"))
    assert CLASSIFIER.judge(answer).rule == "strict.no-user"
    assert Classifier(merged(parse_own_rules(OWN, "own.toml"), rules)).judge(answer).rule != "strict.no-user"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[]", '["550 5.1.1 x"]', "own.toml: a sample of rule strict.no-user reaches none: '550 5.1.1 x'"),
        ("[]", '["x"]', "own.toml: a sample of rule strict.no-user is no reply: 'x'"),
        ("(?!)", "(", "The pattern of rule strict.no-user is broken"),
        (
            'fate = "bounced"',
            'fate = "gone"',
            "own.toml cannot be read: rule strict.no-user: Invalid enum value 'gone'",
        ),
        ('id = "strict.no-user"', "", "own.toml cannot be read: rule number 1: Object missing required field `id`"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_rule(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_own_rules(OWN.replace(old, new), "own.toml")

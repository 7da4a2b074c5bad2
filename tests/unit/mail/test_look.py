"""Which outcomes say nothing about the records."""

from outrider.mail.look import Outcome


def test_only_silence_and_failing_servers_are_temporary() -> None:
    assert {outcome for outcome in Outcome if outcome.is_temporary} == {Outcome.TIMED_OUT, Outcome.FAILED}

"""Answers an SPF evaluation from a zone in memory. "SERVFAIL" as a record makes the question fail."""

from collections.abc import Mapping

from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Steps
from tests.fuzz.spf_oracle import Zone


def drive(steps: Steps, zone: Zone) -> tuple[Evaluation, int]:
    """Return the evaluation and how many questions it took."""
    count, look = 0, None
    while True:
        try:
            question = next(steps) if look is None else steps.send(look)
        except StopIteration as end:
            return end.value, count
        count += 1
        node: Mapping[str, object] = zone.get(question.name, {})
        values = tuple(map(str, node.get(question.type, ())))  # type: ignore[arg-type, call-overload]
        outcome = Outcome.FOUND if values else Outcome.EMPTY if node else Outcome.NO_NAME
        look = Look(question.name, question.type, Outcome.FAILED if "SERVFAIL" in values else outcome, values)

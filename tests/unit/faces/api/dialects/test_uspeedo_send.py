"""SendEmail's body and answer; what comes of a body as a whole is tried through the face, in test_uspeedo.py."""

import json
from uuid import UUID

import pytest
from msgspec import UNSET

from outrider.base.errors import CallerError, MissingFieldError
from outrider.engine.submission import Accepted, Rejected
from outrider.faces.api.dialects.uspeedo_send import answer, choose_sender, read
from tests.unit.faces.conftest import GOOD


def test_a_body_is_a_submission() -> None:
    submission = read(json.dumps({**GOOD, "Content": "<b>Hi</b>"}).encode())
    assert (submission.sender, submission.recipients) == (GOOD["SendEmail"], tuple(GOOD["TargetEmailAddress"]))
    assert (submission.text, submission.html) == (None, "<b>Hi</b>")


def test_a_body_without_a_sender_is_explained() -> None:
    for more, kind in (({}, MissingFieldError), ({"SendEmail": None, "SenderEmail": None}, CallerError)):
        body = {name: value for name, value in GOOD.items() if name != "SendEmail"} | more
        with pytest.raises(kind) as caught:
            read(json.dumps(body).encode())
        assert caught.value.field == "SendEmail"


def test_the_newer_name_of_the_sender_counts() -> None:
    assert choose_sender("a", "b") == "a"
    assert choose_sender(None, "b") == choose_sender(UNSET, "b") == "b"
    assert choose_sender(UNSET, None) is None


def test_the_two_generations_say_success_differently() -> None:
    accepted = Accepted(UUID(int=1), 2, (Rejected("c", "why"),))
    rest, acted = answer(accepted, "id", UNSET), answer(accepted, "id", "SendEmailResponse")
    assert (rest.message, acted.message) == ("success", "")
    assert (rest.success_count, len(rest.fail_content), rest.failed_target_emails) == (2, 1, rest.fail_content)


def test_nobody_accepted_is_no_success() -> None:
    refused = answer(Accepted(None, 0, (Rejected("c", "why"),)), "id", UNSET)
    assert (refused.ret_code, refused.session_no, refused.success_count) == (CallerError.ret_code, UNSET, 0)

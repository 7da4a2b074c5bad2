"""The records of /v1/emails: JSON's names, and that they fit each other."""

import msgspec

from outrider.engine.submission import Attachment, Submission
from outrider.faces.api.v1.message_types import (
    BatchAccepted,
    BatchPart,
    LooseBatch,
    MessageAccepted,
    NewBatch,
    NewMessage,
)
from outrider.testing.engine import SESSION_ID


def names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_a_mail_can_say_all_that_the_engine_takes() -> None:
    other_words = {"sender": "from", "recipients": "to", "shown_to": "to", "shown_cc": "cc", "list_name": "list"}
    taken = {other_words.get(name, name) for name in Submission.__struct_fields__}
    ours = {"from_name", "resent_from", "templated", "personal"}
    of_smtp = {"raw", "also_from", "facts", "reports", "has_null_sender"}
    left = "the first is in `from`, the second is ours, the others are filled in"
    assert taken - names(NewMessage) == ours | of_smtp, left
    filled = {"template", "variables", "recipient_variables", "locale", "recipient_locales", "preheader"}
    assert names(NewMessage) - taken == {"bcc", "separate"} | filled
    files = msgspec.structs.fields(NewMessage)[NewMessage.__struct_fields__.index("attachments")]
    assert set(Attachment.__struct_fields__) < names(files.type.__args__[0])  # Beside them it has a URL.


def test_a_batch_is_documented_as_it_is_read() -> None:
    assert names(LooseBatch) == names(NewBatch) == {"emails"}


def test_a_part_is_what_a_single_call_answers() -> None:
    single = msgspec.json.encode(MessageAccepted(id=SESSION_ID, accepted_count=1))
    assert msgspec.json.encode(BatchPart(id=SESSION_ID, accepted_count=1, rejected=())) == single
    whole = BatchAccepted(accepted_count=0, failed_count=0, results=[])
    assert msgspec.json.encode(whole) == b'{"accepted_count":0,"failed_count":0,"results":[]}'

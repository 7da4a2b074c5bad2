"""What a submission may hold: all that can be told without asking anybody, before anything is stored.

Fields are named as the records of `engine.submission` name them, with the place in a list: `attachments[2].name`. Who
may send, and through which pool, `engine.accept` asks; recipients' addresses are refused one by one (`recipients`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from outrider.base import instants, limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.engine.submission import Rejected, Submission, Templated, check_name
from outrider.mail import address, build, headers, mailbox
from outrider.mail.address import Address
from outrider.mail.mime import File
from outrider.mail.render import Rendered
from outrider.policy import attach

_MINUTE: Final = timedelta(minutes=1)


def submission(given: Submission, *, now: datetime) -> None:
    """Refuse what cannot become mail.

    Raises:
        CallerError: `field` is the field at fault.
        TooLargeError: the attachments are.
    """
    _words(given)
    if given.raw is not None:
        _raw(given, given.raw)
    elif given.templated is None:
        _content(given)
    else:
        _template(given, given.templated)
    if given.shown_to or given.shown_cc or given.reply_to:
        _shown(given)
    if given.headers:
        _headers(given.headers)
    if given.attachments:
        _files(given)
    if given.tags or given.metadata:
        _labels(given)
    if given.send_at is not None or given.expires_s is not None:
        _times(given, now)


def recipients(texts: Sequence[str]) -> tuple[list[tuple[Address, int]], list[Rejected]]:
    """Parse each recipient, and say where it stood; duplicates (by `Address.key`) count once, the first stays."""
    found: dict[str, tuple[Address, int]] = {}
    rejected: dict[str, Rejected] = {}
    for at, text in enumerate(texts):
        try:
            parsed = address.parse(text)
        except CallerError as error:
            rejected.setdefault(text, Rejected(text, f"invalid address: {error.public}"))
            continue
        found.setdefault(parsed.key, (parsed, at))
    return list(found.values()), list(rejected.values())


def idempotency_key(value: str) -> None:
    """Refuse what is no idempotency key; "" is none. Raises CallerError."""
    if len(value) > limits.IDEMPOTENCY_KEY_CHARS_MAX or not value.isprintable():
        raise CallerError(
            f"An idempotency key has 1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} printable characters.",
            field="idempotency_key",
        )


def _words(submission: Submission) -> None:
    count, is_raw = len(submission.recipients), submission.raw is not None
    count_max = limits.SUBMISSION_RECIPIENTS_COUNT_MAX if is_raw else limits.RECIPIENTS_PER_CALL_COUNT_MAX
    if not 1 <= count <= count_max:
        raise CallerError(
            f"{count} recipients; between 1 and {count_max} are allowed in one call.",
            field="recipients",
        )
    # Else the template has one, or the message does as it likes.
    if submission.subject or (submission.templated is None and not is_raw):
        _subject(submission.subject)
    _header_value(submission.from_name, limits.FROM_NAME_CHARS_MAX, "from_name")
    headers.check_display_name(submission.from_name, field="from_name")
    check_name(submission.campaign, limits.CAMPAIGN_CHARS_MAX, field="campaign")
    check_name(submission.list_name, limits.LIST_NAME_CHARS_MAX, field="list_name")


def _subject(text: str) -> None:
    if not text.strip():
        raise CallerError("The subject is empty.", field="subject")
    _header_value(text, limits.SUBJECT_CHARS_MAX, "subject")


def _content(submission: Submission) -> None:
    if submission.personal:
        raise CallerError("There is no template to fill in.", field="variables")
    parts = [part for part in (submission.text, submission.html) if part is not None]
    if not any(part.strip() for part in parts) and not submission.attachments:
        raise CallerError("The content is empty.", field="content")
    if any("\x00" in part for part in parts):
        raise CallerError("The content has a NUL character; remove it.", field="content")
    try:
        size_bytes = sum(len(part.encode()) for part in parts)
    except UnicodeEncodeError as error:
        raise CallerError("The content has half a character (a lone surrogate).", field="content") from error
    if size_bytes > limits.CONTENT_BYTES_MAX:
        raise CallerError(
            f"The content has {size_bytes} bytes; at most {limits.CONTENT_BYTES_MAX} are allowed.", field="content"
        )


def _raw(given: Submission, raw: bytes) -> None:
    """A whole message has been put right by `mail.repair`; what else there is would contradict it."""
    others = (given.text, given.html, given.templated, given.shown_to, given.shown_cc, given.reply_to, given.headers)
    assert not any(others)
    assert not given.attachments
    # And what was added to it.
    if len(raw) > limits.SUBMISSION_MESSAGE_BYTES_MAX + limits.SUBMISSION_HEADER_BYTES_MAX:
        raise TooLargeError(f"The message has {len(raw)} octets.", field="content")


def _template(given: Submission, templated: Templated) -> None:
    """What fills it in is looked at recipient by recipient, by `engine.fill`."""
    for field, part in (("text", given.text), ("html", given.html)):
        if part is not None:
            raise CallerError("The template has the content; leave this out.", field=field)
    if given.personal and len(given.personal) != len(given.recipients):
        raise CallerError("Every recipient has its own variables, or none has.", field="variables")
    if templated.preheader is not None and len(templated.preheader) > limits.PREHEADER_CHARS_MAX:
        raise CallerError(
            f"The preheader has {len(templated.preheader)} characters; {limits.PREHEADER_CHARS_MAX} are allowed.",
            field="preheader",
        )


def rendered(mail: Rendered) -> None:
    """Refuse what came out of a template and cannot become mail. Raises CallerError, for people."""
    _subject(mail.subject)
    parts = [part for part in (mail.text, mail.html) if part is not None]
    if not any(part.strip() for part in parts):
        raise CallerError("The content is empty.", field="content")
    if any("\x00" in part for part in parts):
        raise CallerError("The content has a NUL character.", field="content")
    size_bytes = sum(len(part) if part.isascii() else len(part.encode()) for part in parts)
    if size_bytes > limits.CONTENT_BYTES_MAX:
        raise CallerError(
            f"The content has {size_bytes} bytes; {limits.CONTENT_BYTES_MAX} are allowed.", field="content"
        )


def _header_value(value: str, chars_max: int, field: str) -> None:
    if len(value) > chars_max:
        raise CallerError(
            f"The {field.replace('_', ' ')} has {len(value)} characters; at most {chars_max} are allowed.", field=field
        )
    headers.check_value(value, field=field)


def _shown(given: Submission) -> None:
    """Everybody shown is a recipient: nobody reads that somebody got a mail who did not."""
    known = {_key(text) for text in given.recipients}
    for field, texts in (("shown_to", given.shown_to), ("shown_cc", given.shown_cc)):
        for at, text in enumerate(texts):
            if mailbox.parse(text, field=f"{field}[{at}]").address.key not in known:
                raise CallerError("An address that is shown must be one of the recipients.", field=f"{field}[{at}]")
    if len(given.reply_to) > limits.REPLY_TO_COUNT_MAX:
        raise CallerError(f"At most {limits.REPLY_TO_COUNT_MAX} addresses to reply to.", field="reply_to")
    for at, text in enumerate(given.reply_to):
        mailbox.parse(text, field=f"reply_to[{at}]")


def _key(text: str) -> str:
    try:
        return address.parse(text).key
    except CallerError:  # It is refused for itself.
        return ""


def _headers(fields: Sequence[tuple[str, str]]) -> None:
    if len(fields) > limits.HEADERS_COUNT_MAX:
        raise CallerError(f"At most {limits.HEADERS_COUNT_MAX} further header fields.", field="headers")
    for at, (name, value) in enumerate(fields):
        try:
            build.check_extra(name)
            headers.unstructured(name, value)
        except CallerError as error:
            raise CallerError(f"{_shown_name(name)}: {error.public}", field=f"headers[{at}]") from error
        if len(value) > limits.HEADER_VALUE_CHARS_MAX:
            raise CallerError(
                f"{_shown_name(name)} has {len(value)} characters; {limits.HEADER_VALUE_CHARS_MAX} are allowed.",
                field=f"headers[{at}]",
            )


def _shown_name(name: str) -> str:
    return name if name.isascii() and name.isprintable() and len(name) <= limits.LINE_FOLD_BYTES else "A header"


def _files(given: Submission) -> None:
    attach.check_sizes([len(file.content) for file in given.attachments], field="attachments")
    content_ids: set[str] = set()
    for at, file in enumerate(given.attachments):
        field = f"attachments[{at}]"
        attach.check(File(file.name, file.type, file.content, file.content_id), field=field)
        if file.content_id and file.content_id in content_ids:
            raise CallerError("Two files have the same content id.", field=f"{field}.content_id")
        content_ids.add(file.content_id)


def _labels(given: Submission) -> None:
    if len(given.tags) > limits.TAGS_COUNT_MAX:
        raise CallerError(f"At most {limits.TAGS_COUNT_MAX} tags.", field="tags")
    for at, tag in enumerate(given.tags):
        _label(tag, limits.TAG_CHARS_MAX, f"tags[{at}]")
    if len(given.metadata) > limits.METADATA_COUNT_MAX:
        raise CallerError(f"At most {limits.METADATA_COUNT_MAX} entries.", field="metadata")
    for name, value in given.metadata.items():
        field = f"metadata.{name}" if name.isidentifier() else "metadata"
        _label(name, limits.METADATA_NAME_CHARS_MAX, field)
        if len(value) > limits.METADATA_VALUE_CHARS_MAX:
            raise CallerError(f"A value has at most {limits.METADATA_VALUE_CHARS_MAX} characters.", field=field)
        if "\x00" in value or not _is_whole(value):
            raise CallerError("A value has a NUL, or half a character.", field=field)


def _label(text: str, chars_max: int, field: str) -> None:
    if not 1 <= len(text) <= chars_max or not text.isprintable():
        raise CallerError(f"It must have 1 to {chars_max} printable characters.", field=field)


def _is_whole(text: str) -> bool:
    """Whether it has no half character (a lone surrogate)."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _times(given: Submission, now: datetime) -> None:
    if given.send_at is not None:
        send_at = instants.aware(given.send_at, "send_at")
        days = int(limits.SEND_LATER_S_MAX // 86400)
        if not now - _MINUTE <= send_at <= now + timedelta(seconds=limits.SEND_LATER_S_MAX):
            raise CallerError(f"Mail can be sent now or within {days} days.", field="send_at")
    if given.expires_s is not None and not limits.EXPIRES_S_MIN <= given.expires_s <= limits.MESSAGE_LIFE_S_MAX:
        raise CallerError(
            f"A message lives {limits.EXPIRES_S_MIN:.0f} to {limits.MESSAGE_LIFE_S_MAX:.0f} seconds.", field="expires_s"
        )

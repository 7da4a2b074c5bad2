"""Every hard limit of the system, in one place.

A name ends in its unit; a comment names the source of the number. Nothing here is configurable:
a limit an operator may move lives in its floor's `settings.py`, bounded by one of these.
"""

from typing import Final

# -- SMTP client: how long a peer may stay silent, and how much it may say.
GREETING_WAIT_S: Final = 300.0  # First 220. RFC 5321 §4.5.3.2.1.
COMMAND_WAIT_S: Final = 300.0  # Reply to MAIL, RCPT. RFC 5321 §4.5.3.2.2, §4.5.3.2.3.
DATA_START_WAIT_S: Final = 120.0  # Reply to DATA. RFC 5321 §4.5.3.2.4.
DATA_BLOCK_WAIT_S: Final = 180.0  # One write of the body. RFC 5321 §4.5.3.2.5.
DATA_END_WAIT_S: Final = 600.0  # Reply to the final dot. RFC 5321 §4.5.3.2.6; less duplicates mail.
REPLY_LINE_BYTES_MAX: Final = 4096  # Ours: RFC 5321 §4.5.3.1.5 says 512, some send more; past this, an attack.
REPLY_LINES_MAX: Final = 128  # Ours: a longer reply is an attack, not an answer.
READ_BYTES_MAX: Final = 64 * 1024  # Ours: one socket read.

# -- Addresses and headers.
LOCAL_PART_BYTES_MAX: Final = 64  # RFC 5321 §4.5.3.1.1.
DOMAIN_BYTES_MAX: Final = 255  # RFC 5321 §4.5.3.1.2.
ADDRESS_BYTES_MAX: Final = 254  # RFC 5321 §4.5.3.1.3 less the angle brackets; erratum 1690 to RFC 3696.
LABEL_BYTES_MAX: Final = 63  # RFC 1035 §2.3.4.
LINE_BYTES_MAX: Final = 998  # Without CRLF. RFC 5322 §2.1.1.
LINE_FOLD_BYTES: Final = 78  # Without CRLF, advised. RFC 5322 §2.1.1.
ENCODED_WORD_CHARS_MAX: Final = 75  # RFC 2047 §2.

# -- What one accepted call may hold.
RECIPIENTS_PER_CALL_COUNT_MAX: Final = 100  # shared/uspeedo.md 1.3.
SUBJECT_CHARS_MAX: Final = 200  # shared/uspeedo.md 1.3.
FROM_NAME_CHARS_MAX: Final = 200  # Ours: a display name over the subject's limit is an abuse.
CONTENT_BYTES_MAX: Final = 10 * 1024 * 1024  # Ours: Gmail refuses over 25 MB, most over 10; uSpeedo states none.
REQUEST_BODY_BYTES_MAX: Final = 12 * 1024 * 1024  # Ours: `CONTENT_BYTES_MAX` escaped as JSON, and the other fields.

# -- The queue.
RETRY_DELAY_S_MAX: Final = 4 * 3600.0  # DESIGN.md 5.
MESSAGE_LIFE_S_MAX: Final = 72 * 3600.0  # DESIGN.md 5; RFC 5321 §4.5.4.1 says 4-5 days, customers want to know sooner.
REPLY_TEXT_CHARS_KEPT_MAX: Final = 1000  # Ours: what we store of a peer's reply.

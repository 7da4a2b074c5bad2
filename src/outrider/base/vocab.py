"""The words customers see: lower-case strings, the same in the database, JSON and logs.

Never renamed, never reused (tests/docs/test_frozen_words.py holds the list).
"""

import enum


class Stream(enum.StrEnum):
    """What kind of mail it is; the two never share a lane."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class RecipientStatus(enum.StrEnum):
    """The state of one recipient. The table of moves is in `store/recipients.py` and ARCHITECTURE.md."""

    QUEUED = "queued"  # Waiting for its first or next attempt, or in one now.
    HELD = "held"  # Parked; somebody must release or cancel it.
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """No further attempt will be made."""
        return self not in (RecipientStatus.QUEUED, RecipientStatus.HELD)


class EventKind(enum.StrEnum):
    """What happened, in the past tense."""

    ACCEPTED = "accepted"  # About a whole message: one event for all its recipients.
    SCHEDULED = "scheduled"  # About a whole message as well: it was accepted, and waits for its `send_at`.
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    HELD = "held"
    RELEASED = "released"
    SUPPRESSED = "suppressed"  # The address gets no such mail: refused with its message, or found so before an attempt.
    CANCELLED = "cancelled"
    BOUNCED_LATE = "bounced_late"  # A report that came by mail, mostly after `delivered`.
    DELAYED = "delayed"  # Somebody on the way still tries; a report too.
    COMPLAINED = "complained"  # The reader called it spam.
    UNSUBSCRIBED = "unsubscribed"  # The reader wants no more of it.
    RESUBSCRIBED = "resubscribed"  # The reader took that back.
    OPENED = "opened"  # The mail was shown, by a reader or a machine: its pixel was fetched.
    CLICKED = "clicked"  # A link in it was followed.
    AUTO_REPLIED = "auto_replied"  # An answer that nobody wrote: away, or a challenge.
    PAUSED = "paused"  # An operator's act on a lane, provider, project or session; as are the next three.
    RESUMED = "resumed"
    FLUSHED = "flushed"
    DROPPED = "dropped"
    DOMAIN_PASSED = (
        "domain_passed"  # Every record that a sending domain needs is as it should be, for the first time or again.
    )
    DOMAIN_FAILED = "domain_failed"  # It had passed, and a record that it needs is gone or wrong.
    DOMAIN_STOPPED = (
        "domain_stopped"  # It failed for longer than the grace period: its mail waits, new mail is refused.
    )
    DOMAIN_RELEASED = "domain_released"  # The project gave it up: it sends from it no more, others may prove it.
    KEYS_RENEWED = "keys_renewed"  # New DKIM keys of a domain were made by themselves and wait to be published.
    WEBHOOK_PAUSED = "webhook_paused"  # All calls of a webhook failed for a day: it is tried once an hour.
    WEBHOOK_RESUMED = "webhook_resumed"  # One that was paused for that answered: its calls go out again.
    WEBHOOK_DISABLED = "webhook_disabled"  # It answered 410 Gone: it gets nothing more until somebody resumes it.
    ALERT_RAISED = "alert_raised"  # A figure of the project's crossed the threshold of one of its alerts.
    ALERT_ENDED = "alert_ended"  # It is back on the good side.


class TrackedMail(enum.StrEnum):
    """Which mail is tracked, of opens or of clicks."""

    OFF = "off"
    MARKETING = "marketing"
    ALL = "all"


class WaitKind(enum.StrEnum):
    """Why a lane waits: `lane.pause_kind`. The sentence for people is beside it."""

    RATE = "rate"  # A configured rate of the provider.
    THROTTLE = "throttle"  # The rate we learned from the provider's own replies.
    PAUSE = "pause"  # A reply rule paused the provider.
    REST = "rest"  # A reply rule rests the address at that provider.
    AWAY = "away"  # Connections to its servers keep coming to nothing.
    CONNECTIONS = "connections"  # All connections we may have are in use.
    WARMUP = "warmup"  # The day's ceiling of an address that is being warmed up.
    DOMAIN_RATE = "domain_rate"  # The sending domain's own rate.
    GUARD = "guard"  # Too many unknown addresses or complaints: the project, domain or campaign is slowed or paused.
    DOMAIN = "domain"  # The sending domain's records are gone or wrong for longer than the grace period.
    HOLD = "hold"  # An operator said so.
    TURN = "turn"  # Others of the same provider are before it.


class HoldScope(enum.StrEnum):
    """What an operator pauses, resumes, flushes or drops."""

    LANE = "lane"
    PROVIDER = "provider"  # All lanes to it: the key by which its limits are counted.
    PROJECT = "project"
    SESSION = "session"  # One accepted call: its recipients leave the queue and are `held`.


class SuppressionScope(enum.StrEnum):
    """Which mail a suppressed address does not get."""

    ALL = "all"  # Everything the project sends.
    STREAM = "stream"
    DOMAIN = "domain"  # What comes from one sending domain.
    LIST = "list"


class SuppressionOrigin(enum.StrEnum):
    """Where a suppression comes from."""

    REPLY = "reply"  # A server refused the address.
    REPORT = "report"  # A bounce or a complaint that came in.
    REQUEST = "request"  # The recipient asked for it.
    IMPORT = "import"
    OPERATOR = "operator"


class SubscriptionState(enum.StrEnum):
    """Whether a reader gets the marketing mail of a list, or of none, as far as that is the reader's wish."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"  # The reader left, and may come back.
    BLOCKED = "blocked"  # The reader called it spam, or the sender says so: only the sender changes that.


class LeavingReason(enum.StrEnum):
    """Why a reader leaves, of those that the page offers."""

    TOO_MANY = "too_many"
    NOT_RELEVANT = "not_relevant"
    NEVER_SIGNED_UP = "never_signed_up"
    OTHER = "other"


class RecordKind(enum.StrEnum):
    """What a DNS record of a sending domain is for. With its host it names the record: `domain_record` (kind, host)."""

    SPF = "spf"  # Who may send for the domain itself; receivers of mail without a return path of its own look there.
    DKIM = "dkim"
    DMARC = "dmarc"
    RETURN_PATH = "return_path"  # The MX by which bounces come back.
    RETURN_PATH_SPF = "return_path_spf"  # Who may send for the return path: the SPF that counts.
    TRACKING = "tracking"
    MTA_STS = "mta_sts"  # Two hosts: the TXT record and the policy's web host.
    TLS_RPT = "tls_rpt"
    BIMI = "bimi"


class RecordState(enum.StrEnum):
    """What DNS said of a record when it was last asked; of a domain: of all its required records."""

    UNVERIFIED = "unverified"  # Nobody has asked yet, or nobody has answered.
    PASSED = "passed"
    FAILED = "failed"


class RecordCause(enum.StrEnum):
    """Why a record did not pass, or what to mind though it did: `domain_record.cause`."""

    NONE = ""  # It passed, and there is nothing to say.
    MISSING = "missing"  # Nothing is published there.
    TYPO = "typo"  # Nearly right: a few characters differ.
    TRUNCATED = "truncated"  # A string of a long text is missing, or its end is cut off.
    WRONG_HOST = "wrong_host"  # The right value at another name: domain doubled, underscore lost, at the domain itself.
    SEVERAL = "several"  # More than one record where receivers take one.
    PROXIED = "proxied"  # A proxy answers with its own addresses where a CNAME should be seen.
    FLATTENED = "flattened"  # Addresses are seen where a CNAME should be.
    OTHER_VALUE = "other_value"  # Something else is published.
    REVOKED = "revoked"  # A DKIM record with an empty key.
    NOT_COVERED = "not_covered"  # SPF is there, and does not let all our addresses send.
    TOO_MANY_LOOKUPS = "too_many_lookups"  # SPF costs over 10 look-ups, or over 2 that find nothing.
    SYNTAX = "syntax"  # It cannot be read.
    LOOP = "loop"  # CNAMEs that lead in a circle.
    TARGET_MISSING = "target_missing"  # The CNAME is right; where it leads, nothing is published.
    TIMED_OUT = "timed_out"  # Temporary: no answer in time.
    SERVERS_FAILED = "servers_failed"  # Temporary: SERVFAIL, REFUSED or nonsense.
    NO_DOMAIN = "no_domain"  # The registered domain does not exist.
    INHERITED = "inherited"  # Passed: the DMARC record of the organizational domain speaks for this one.
    TOO_OPEN = "too_open"  # Passed: SPF that lets everybody send, or a DKIM key that is only being tested.
    NOT_REPORTED = "not_reported"  # Passed: the reports go elsewhere, so we do not see them.
    NOT_ENFORCED = "not_enforced"  # Passed: BIMI, of which nothing is shown while DMARC says p=none.

    @property
    def is_temporary(self) -> bool:
        """Nobody could tell: the state of before stands."""
        return self in (RecordCause.TIMED_OUT, RecordCause.SERVERS_FAILED)


class KeyState(enum.StrEnum):
    """Where a DKIM key is in its life. The table of moves is in `services/dkim_keys.py`."""

    WAITING = "waiting"  # Its record is to be published; it signs nothing.
    SIGNING = "signing"
    RETIRING = "retiring"  # It signs no more, but what it signed is still checked: its record stays.
    RETIRED = "retired"  # Nobody needs its record any more. Its private half is gone.


class MtaSts(enum.StrEnum):
    """What the MTA-STS policy of a domain's return path asks of those who send bounces to it: `domain.mta_sts`."""

    OFF = "off"  # There is no policy.
    TESTING = "testing"  # Report what would fail, deliver all the same.
    ENFORCE = "enforce"  # Deliver by TLS to the right host, or not at all.
    NONE = "none"  # Forget the policy there was: the way from `enforce` to `off`.


class KeyScope(enum.StrEnum):
    """What a key may do."""

    SEND = "send"  # Hand in mail, cancel and resend it.
    READ = "read"  # Mail, events, figures, and how the project is set up.
    MANAGE = "manage"  # Domains, senders, suppressions, keys.


class TemplateState(enum.StrEnum):
    """Whether a template's mail may be sent (shared/uspeedo.md 1.8 and 5.4)."""

    DRAFT = "draft"  # No version was published yet.
    PENDING = "pending"  # Waits for somebody to approve it.
    REVIEWING = "reviewing"  # Somebody is looking at it.
    APPROVED = "approved"  # Its published version may be sent.
    REJECTED = "rejected"
    DISABLED = "disabled"  # An operator or its owner has switched it off.


class VersionState(enum.StrEnum):
    """Where one version of a template is in its life."""

    DRAFT = "draft"
    PENDING = "pending"  # To be published as soon as it is approved.
    PUBLISHED = "published"  # The one that is sent.
    REPLACED = "replaced"  # It was published once.
    REJECTED = "rejected"


class ContentAction(enum.StrEnum):
    """What becomes of a mail for its content, the mildest first."""

    PASS = "pass"  # It goes out as it is.
    TAG = "tag"  # It goes out, and says in its header how it was judged.
    HOLD = "hold"  # It is accepted, and waits until somebody releases or cancels it.
    REFUSE = "refuse"  # It is not taken.


class ContentCause(enum.StrEnum):
    """What that was decided by."""

    NONE = ""  # Nothing was found.
    SCORE = "score"  # What the junk filter makes of it.
    LINT = "lint"  # A fault that is plain to see.
    UNANSWERED = "unanswered"  # The junk filter could not be asked.


class Fate(enum.StrEnum):
    """What one attempt means for its recipient."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Phase(enum.StrEnum):
    """Where in an attempt the last word was spoken. The order is the order of an attempt."""

    ROUTE = "route"  # DNS: who takes this domain's mail.
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class SenderRule(enum.StrEnum):
    """Which addresses of a domain may be in From."""

    LISTED = "listed"  # Those that were added as senders.
    ANY = "any"  # All but senders that were disabled.


class UnalignedFrom(enum.StrEnum):
    """What becomes of a mail that would fail DMARC, since nothing of the project's is aligned with its From."""

    REFUSE = "refuse"  # It is not taken.
    REWRITE = "rewrite"  # It goes out from a sender of the project's, "Ann via Shop"; Reply-To has Ann's address.


class WebhookState(enum.StrEnum):
    """Whether a webhook is called."""

    ACTIVE = "active"
    FAILING = "failing"  # All calls failed for a day: they wait, and one is tried once an hour.
    PAUSED = "paused"  # Somebody said so: calls wait.
    DISABLED = "disabled"  # It said that it is gone, or somebody did: no new calls come into being.


class WebhookOrdering(enum.StrEnum):
    """Which calls of a webhook go one after the other, each when the one before has been taken."""

    NONE = "none"
    RECIPIENT = "recipient"  # Those about one recipient of one message.
    MESSAGE = "message"  # Those about one message.


class WebhookOutcome(enum.StrEnum):
    """What one call of a webhook came to."""

    TAKEN = "taken"  # It answered 2xx.
    RETRIED = "retried"  # It did not, and is called again.
    GIVEN_UP = "given_up"  # It did not for three days, and is not called again.

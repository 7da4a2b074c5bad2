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
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    HELD = "held"
    RELEASED = "released"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    BOUNCED_LATE = "bounced_late"  # A report that came by mail, mostly after `delivered`.
    DELAYED = "delayed"  # Somebody on the way still tries; a report too.
    COMPLAINED = "complained"  # The reader called it spam.
    UNSUBSCRIBED = "unsubscribed"  # The reader wants no more of it.
    AUTO_REPLIED = "auto_replied"  # An answer that nobody wrote: away, or a challenge.
    PAUSED = "paused"  # An operator's act on a lane, provider, project or session; as are the next three.
    RESUMED = "resumed"
    FLUSHED = "flushed"
    DROPPED = "dropped"


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


class KeyScope(enum.StrEnum):
    """What a key may do."""

    SEND = "send"  # Hand in mail, cancel and resend it.
    READ = "read"  # Mail, events, figures, and how the project is set up.
    MANAGE = "manage"  # Domains, senders, suppressions, keys.


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

"""Why an attempt ended as it did: the word that customers see, filter by and build rules on. shared/providers.md 2.2.

The word says why, `scope_of` who is at fault, `action_of` what we do about it; both answer for every reason. None is
ever renamed or reused. Which reasons may suppress an address, and after how much, is `policy.suppress`: code, never a
setting.
"""

import enum


class Scope(enum.StrEnum):
    """Who is at fault."""

    RECIPIENT = "recipient"
    CONTENT = "content"
    SENDER = "sender"  # The sending domain: its records, its signatures, its addresses.
    SOURCE = "source"  # The address we send from: its name, its record, its pace.
    US = "us"  # Us, or them against us: software and its settings.
    NETWORK = "network"
    UNKNOWN = "unknown"  # Nobody, or nobody knows whom to blame.


class Action(enum.StrEnum):
    """What we do about it, besides trying again whatever was only deferred."""

    NONE = "none"
    NOTE = "note"  # It is in the events; somebody may want to know.
    RETRY = "retry"  # Later, as it is.
    SLOW = "slow"  # Shaping slows down, or rests the source at that provider.
    FAIL = "fail"  # This message is over for this recipient; the next one is tried.
    HOLD = "hold"  # The campaign stops before it does more harm.
    ALERT = "alert"  # The domain's owner or the operator must mend something.
    COUNT = "count"  # Kept as evidence: enough of it suppresses the address.
    SUPPRESS = "suppress"  # The address gets no more mail of that kind.


class Reason(enum.StrEnum):
    """The class of a verdict."""

    ACCEPTED = "accepted"
    RECIPIENT_INVALID = "recipient.invalid"  # No such person.
    RECIPIENT_DOMAIN_INVALID = "recipient.domain_invalid"  # No such domain, or it takes no mail.
    RECIPIENT_DISABLED = "recipient.disabled"
    RECIPIENT_MOVED = "recipient.moved"
    RECIPIENT_FULL = "recipient.full"
    RECIPIENT_RATE = "recipient.rate"  # This person gets too much mail just now, from anybody.
    RECIPIENT_POLICY = "recipient.policy"  # This person, group or company does not take this sender's mail.
    RECIPIENT_CHALLENGE = "recipient.challenge"  # They want a person to prove that it is one, by a link or a reply.
    MAILBOX_TOO_LARGE = "mailbox.too_large"  # The message, for that mailbox.
    CONTENT_SPAM = "content.spam"
    CONTENT_VIRUS = "content.virus"
    CONTENT_ATTACHMENT = "content.attachment"
    CONTENT_URL = "content.url"  # A domain in the message is on a block list.
    SENDER_AUTH = "sender.auth"  # SPF, DKIM, DMARC, alignment.
    SENDER_INVALID = "sender.invalid"
    IP_REPUTATION = "ip.reputation"
    IP_PTR = "ip.ptr"
    RATE_PROVIDER = "rate.provider"
    RATE_CONNECTIONS = "rate.connections"
    GREYLIST = "greylist"
    TLS = "tls"
    NETWORK = "network"
    DNS_TEMP = "dns.temp"
    PROTOCOL = "protocol"  # One of us two broke SMTP.
    RELAY_DENIED = "relay_denied"
    POLICY_OTHER = "policy.other"
    AUTO_REPLY = "auto_reply"  # Out of office and its like: the mail arrived.
    COMPLAINT = "complaint"  # The reader called it spam.
    UNSUBSCRIBE = "unsubscribe"  # The reader wants no more of it.
    UNKNOWN_HARD = "unknown.hard"
    UNKNOWN_SOFT = "unknown.soft"
    EXPIRED = "expired"  # Its time was over while it waited; the last attempt says for what.
    INTERNAL = "internal"  # Ours: a bug, or out of sockets.


def scope_of(reason: Reason) -> Scope:
    """Return who is at fault."""
    match reason:
        case (
            Reason.RECIPIENT_INVALID
            | Reason.RECIPIENT_DOMAIN_INVALID
            | Reason.RECIPIENT_DISABLED
            | Reason.RECIPIENT_MOVED
            | Reason.RECIPIENT_FULL
            | Reason.RECIPIENT_RATE
            | Reason.RECIPIENT_POLICY
            | Reason.RECIPIENT_CHALLENGE
            | Reason.AUTO_REPLY
            | Reason.COMPLAINT
            | Reason.UNSUBSCRIBE
        ):
            return Scope.RECIPIENT
        case (
            Reason.MAILBOX_TOO_LARGE
            | Reason.CONTENT_SPAM
            | Reason.CONTENT_VIRUS
            | Reason.CONTENT_ATTACHMENT
            | Reason.CONTENT_URL
        ):
            return Scope.CONTENT
        case Reason.SENDER_AUTH | Reason.SENDER_INVALID:
            return Scope.SENDER
        case Reason.IP_REPUTATION | Reason.IP_PTR | Reason.RATE_PROVIDER | Reason.RATE_CONNECTIONS | Reason.GREYLIST:
            return Scope.SOURCE
        case Reason.PROTOCOL | Reason.RELAY_DENIED | Reason.EXPIRED | Reason.INTERNAL:
            return Scope.US
        case Reason.TLS | Reason.NETWORK | Reason.DNS_TEMP:
            return Scope.NETWORK
        case Reason.ACCEPTED | Reason.POLICY_OTHER | Reason.UNKNOWN_HARD | Reason.UNKNOWN_SOFT:
            return Scope.UNKNOWN


def action_of(reason: Reason) -> Action:
    """Return what we do about it. The counts behind `COUNT` are in `policy.suppress`."""
    match reason:
        case Reason.ACCEPTED:
            return Action.NONE
        case Reason.AUTO_REPLY | Reason.RECIPIENT_CHALLENGE | Reason.EXPIRED:
            return Action.NOTE
        case (
            Reason.RECIPIENT_RATE
            | Reason.GREYLIST
            | Reason.TLS
            | Reason.NETWORK
            | Reason.DNS_TEMP
            | Reason.UNKNOWN_SOFT
            | Reason.INTERNAL
        ):
            return Action.RETRY
        case Reason.RATE_PROVIDER | Reason.RATE_CONNECTIONS | Reason.IP_REPUTATION:
            return Action.SLOW
        case Reason.RECIPIENT_POLICY | Reason.MAILBOX_TOO_LARGE | Reason.CONTENT_SPAM | Reason.POLICY_OTHER:
            return Action.FAIL
        case Reason.CONTENT_VIRUS | Reason.CONTENT_ATTACHMENT | Reason.CONTENT_URL:
            return Action.HOLD
        case Reason.SENDER_AUTH | Reason.SENDER_INVALID | Reason.IP_PTR | Reason.PROTOCOL:
            return Action.ALERT
        case Reason.RECIPIENT_DISABLED | Reason.RECIPIENT_FULL | Reason.RELAY_DENIED | Reason.UNKNOWN_HARD:
            return Action.COUNT
        case (
            Reason.RECIPIENT_INVALID
            | Reason.RECIPIENT_DOMAIN_INVALID
            | Reason.RECIPIENT_MOVED
            | Reason.COMPLAINT
            | Reason.UNSUBSCRIBE
        ):
            return Action.SUPPRESS

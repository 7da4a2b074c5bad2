"""Why an attempt ended as it did: the word that customers see, filter by and build rules on. shared/providers.md 2.2.

The part before the dot says who is at fault. Never renamed, never reused. Which reasons may suppress an address is
code of its own (later `policy.suppress`), never a setting.
"""

import enum


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
    UNKNOWN_HARD = "unknown.hard"
    UNKNOWN_SOFT = "unknown.soft"
    EXPIRED = "expired"  # Its time was over while it waited; the last attempt says for what.
    INTERNAL = "internal"  # Ours: a bug, or out of sockets.

"""The knobs of this floor: [inbound], [identity], [access], [content], [webhooks], [retention] and [tracking].

The first is about mail that comes back, the second about sending domains: their records, keys and what is said of them,
the third about what keys may do, the fourth about what mail says, the fifth about the servers of customers that are
told of events, the sixth about how long mail and log are kept, the last about links and opens.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outrider.base import limits
from outrider.base.vocab import ContentAction
from outrider.policy.content import ContentPolicy, Threshold, WhenDown

DomainName = Annotated[
    str, Meta(pattern=r"^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+)?\Z")
]


class InboundSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [inbound] table: mail that comes back."""

    bounce_domain: DomainName = ""
    """The domain of the envelope senders of projects without one of their own, such as `bounces.example.com`: its MX is
    this machine, its SPF record names what mail leaves from. Empty: the sender's own address, and bounces go there."""

    certificate: str = ""
    """A PEM file with a certificate and its key, for STARTTLS. Empty: none is offered."""


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [identity] table: domains that providers trust."""

    recheck_s: Annotated[float, Meta(ge=60.0, le=2_592_000.0)] = 86_400.0
    """How long after a check the DNS records of a sending domain are looked at again, a tenth sooner or later. One that
    fails, or is new, is looked at more often. Not in catch mode: there `outrider domain verify` alone asks DNS."""

    grace_s: Annotated[float, Meta(ge=0.0, le=31_536_000.0)] = 259_200.0
    """How long a domain whose records have passed may fail before it is stopped: new mail is refused, queued mail
    waits. Shorter protects its reputation sooner, longer forgives a mistake over a weekend."""

    spf_include: DomainName = ""
    """A host of yours whose SPF record names what mail leaves from, such as `_spf.example.com`. Customers then include
    it, and need not change theirs when your addresses do. Empty: their records name the addresses."""

    tracking_target: DomainName = ""
    """Where the tracking hosts of domains are to lead by CNAME, such as `track.example.com`. Empty: this machine's
    name."""

    mta_sts_target: DomainName = ""
    """A web host of yours that the `mta-sts` hosts of domains are to lead to by CNAME, such as `sts.example.com`. It
    has a certificate for each of them and hands their requests, with the Host they had, to the HTTP API, which serves
    the policies. Empty: customers serve them."""

    dmarc_reports: str = ""
    """An address for the DMARC reports about sending domains, such as `dmarc@example.com`. Empty: records ask for
    none."""

    tls_reports: str = ""
    """An address for the TLS reports about return paths (RFC 8460). Empty: no such record is proposed."""

    mailbox_proof: bool = False
    """Whether a project may prove a single mailbox on a domain that is not its own, by a link that is mailed to it. Its
    mail would fail DMARC, so it goes out with a From of the project's: `outrider sender alignment rewrite`."""

    retire_after_s: Annotated[float, Meta(ge=86_400.0, le=31_536_000.0)] = 604_800.0
    """How long the record of a DKIM key must stay in DNS after the last mail it signed: that may be checked days later.
    Longer costs nothing but a record."""

    dkim_zone: DomainName = ""
    """A zone of the operator's, such as `dkim.example.net`, that holds the keys of domains which publish CNAMEs to it.
    Empty: no domain can be delegated. `outrider domain zone` prints what belongs into it."""

    rotate_delegated_every_s: Annotated[float, Meta(ge=0.0, le=315_360_000.0)] = 0.0
    """How long the keys of a delegated domain sign before new ones are made by themselves; only the operator's zone has
    to change then. Never before the last ones are retired. 0: never."""

    rotate_txt_every_s: Annotated[float, Meta(ge=0.0, le=315_360_000.0)] = 0.0
    """The same for domains that publish their keys themselves: new keys then wait until somebody has published them.
    0: never."""


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [access] table: what keys may do that say nothing of their own."""

    rate_per_minute: Annotated[int, Meta(ge=0, le=limits.KEY_PER_MINUTE_COUNT_MAX)] = 0
    """API calls a minute of a key without a rate of its own, over all processes and nodes; more are refused with 429.
    0: no limit. It protects against programs that run wild, at no cost worth naming."""


class ContentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [content] table: what mail may say. A project may say otherwise for itself, except where the filter is."""

    rspamd_url: Annotated[str, Meta(pattern=r"^(?:https?://[^/\s?#@]+/?)?\Z")] = ""
    """Where a worker of your rspamd listens, such as `http://127.0.0.1:11333`. Every mail is shown to it before it is
    accepted, which takes some milliseconds. Empty: there is none. By `http` mail goes there in the clear: keep it on
    this machine, or on a network of yours."""

    rspamd_password: str = ""
    """Where its password is, if it asks for one: `file:PATH` or `env:NAME`, never the password itself."""

    wait_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 4.0
    """How long a mail waits for rspamd's answer; then `when_down` counts. The caller waits that long too."""

    at_once: Annotated[int, Meta(ge=1, le=1000)] = 16
    """Mails that one process shows to rspamd at once; the others wait, within `wait_s`."""

    kept_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 300.0
    """How long an answer counts for the same content of the same sender, so that a mailing is shown once."""

    scan_bytes_max: Annotated[int, Meta(ge=0, le=limits.ATTACHMENTS_BYTES_MAX)] = 2_000_000
    """Attachments of a mail up to this size in all are shown to rspamd, larger ones are left out."""

    tag_score: Threshold = 0.0
    """From this score on mail gets a header field `X-Spam-Score`. 0: where rspamd says "add header" or "rewrite
    subject"."""

    hold_score: Threshold = 0.0
    """From this score on mail is held until somebody releases it. 0: where rspamd says "soft reject" or a word that
    Outrider does not know."""

    refuse_score: Threshold = 0.0
    """From this score on mail is refused. 0: where rspamd says "reject"; 10000 never refuses."""

    when_down: WhenDown = WhenDown.PASS
    """What becomes of mail while rspamd does not answer: it passes unseen, or is held until somebody releases it."""

    lint_errors: ContentAction = ContentAction.PASS
    """What becomes of mail with a fault that is plain to see, such as a script or a marketing mail that nobody can
    leave. `pass` looks for none when mail is handed in."""

    lint_warnings: ContentAction = ContentAction.PASS
    """The same for what is only unwise, such as no text part."""

    projects_decide: bool = True
    """Whether projects may change their own policy and release what is held, by API. If not, only commands can."""

    def policy(self) -> ContentPolicy:
        """Return the installation's policy."""
        return ContentPolicy(
            tag_score=self.tag_score,
            hold_score=self.hold_score,
            refuse_score=self.refuse_score,
            when_down=self.when_down,
            lint_errors=self.lint_errors,
            lint_warnings=self.lint_warnings,
        )


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [webhooks] table: events told to the servers of customers."""

    allow_http: bool = False
    """Call http URLs too: what is told can then be read on the way. In catch mode they are always called."""

    allow_private: bool = False
    """Call private and loopback addresses: whoever may make a webhook then reaches into our network, and into a cloud's
    metadata service. In catch mode loopback is always called."""

    allow_ranges: tuple[str, ...] = ()
    """Ranges of addresses that are called though they are not public, such as `["10.1.0.0/16"]`: safer than all."""

    in_flight_max: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """Calls under way at once in a worker process, of all webhooks together. Each may hold a connection."""

    log_kept_s: Annotated[float, Meta(ge=3600.0, le=31_536_000.0)] = 604_800.0
    """How long it is known how each call went. Longer takes room: some 300 bytes a call."""


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [retention] table: how long mail and its events are kept."""

    days: Annotated[int, Meta(ge=1, le=limits.KEPT_DAYS_COUNT_MAX)] = 400
    """Days for which mail, its recipients and its events are kept, of projects that say nothing of their own
    (`outrider project retention`). Mail that still waits is never deleted; figures stay longer. Longer takes room: some
    2 KB a mail and its body."""


class TrackingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [tracking] table: links and opens."""

    own_host_scheme: Literal["https", "http"] = "https"
    """How links to the tracking host of a domain begin. `http` where no certificate for those hosts is at hand: what is
    followed can then be read on the way, and some mail programs warn of such links."""

    tls_listen: str = ""
    """HOST:PORT where links, pixels and the page to unsubscribe are served by https, such as `0.0.0.0:443`; nothing
    else is. Empty: nowhere; a proxy in front has the certificates, or links begin with `http`."""

    certificates: str = ""
    """The folder with the certificates of tracking hosts, relative to the data directory: `HOST.crt` and `HOST.key`, or
    `HOST/fullchain.pem` and `HOST/privkey.pem`. Looked at again every other second. Empty: one signed by itself."""

    country_file: str = ""
    """A file in MaxMind's format that says in which country an address is, such as `GeoLite2-Country.mmdb`, relative to
    the data directory. Read again when it changes. Empty: nobody knows."""

    too_soon_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 2.0
    """Who follows a link sooner after the mail was delivered is a machine. Longer tells more scanners, and takes
    readers who wait for a mail for one; 0 takes nobody, but for who comes before it was delivered."""

    hits_waiting_max: Annotated[int, Meta(ge=100, le=10_000_000)] = 100_000
    """Different opens and clicks that a web process keeps in memory until they are written; what comes beyond that is
    lost. They pile up while the database is away: 100,000 are 20 s of 5,000 a second. More takes memory, about a KB
    each."""

"""The knobs of policy: [retry], [classify], [warmup], [egress], [shaping]; `config.py` assembles all into one file.

A `*Settings` record is a table of the file, an `*Entry` a table in it whose name the operator chooses. What one field
says is checked here by its type; what several must agree on, by the module that uses them (`policy.route`).

Whether a provider exists and a rate can be read is known only with the data: `shaping.parse` says it, at the start too.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

from outrider.base import limits
from outrider.base.vocab import Stream
from outrider.policy.warmup import Plan

Delay = Annotated[float, Meta(gt=0, le=limits.RETRY_DELAY_S_MAX)]
# A host name or an address literal: it goes into a command line as it is. \Z: "$" would let a last line feed through.
EhloName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._\[\]:-]{0,255}\Z")]


class RetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [retry] table. Each delay is spread by 15 % either way."""

    first_s: Delay = 60.0
    """After the first attempt; every further one doubles it. Shorter hammers servers that are down."""

    delay_s_max: Delay = limits.RETRY_DELAY_S_MAX
    """Never wait longer than this. Longer delays the mail of a server that comes back."""

    greylist_s: Delay = 300.0
    """At least this after a greylisting. Most want five minutes; sooner only restarts their clock."""

    rate_s: Delay = 600.0
    """At least this after "too fast". Gmail asks for ten minutes; sooner makes it last longer."""

    slow_s: Delay = 1800.0
    """At least this when only a person can mend it: a full mailbox, DNS records, a block list."""


class ClassifySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [classify] table: what replies and reports mean."""

    file: str = ""
    """A TOML file of your own rules about replies, relative to the data directory; a [[rule]] table each, as in
    policy/rules.toml. They come before ours; one of the same id replaces ours. Try it: `outrider rules replay`."""


class WarmupSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [warmup] table. Which source follows which plan is said where the source is."""

    file: str = ""
    """A TOML file with plans of your own, relative to the data directory; a table each, as in policy/warmup.toml."""

    plans: dict[str, Plan] = field(default_factory=dict)
    """More plans of your own, `[warmup.plans.NAME]`. They win over the file, the file over the built-in ones."""


class Use(enum.StrEnum):
    """When a member of a pool is asked to carry mail."""

    ALWAYS = "always"
    OVERFLOW = "overflow"  # When a warm-up ceiling holds the others back.
    FAILOVER = "failover"  # When all others rest, are paused or cannot be reached.


class SourceEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An [egress.sources.NAME] table."""

    address: str = ""
    """The IPv4 or IPv6 address to send from. It must be one of this machine's, and no other node's."""

    ehlo_name: EhloName = ""
    """What it calls itself; "" takes the name of [net]. Receivers want it to resolve to the address and back."""

    smarthost: str = ""
    """smarthost://[user:password@]host:port: hand the mail to this server instead of the domain's own mail hosts."""

    warmup: str = ""
    """The warm-up plan it is under; "" for none. A plan holds back what a new address may not send yet."""

    def __repr__(self) -> str:
        smarthost = "***" if self.smarthost else ""
        return f"SourceEntry({self.address!r}, {self.ehlo_name!r}, smarthost={smarthost!r}, warmup={self.warmup!r})"


class MemberEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An [egress.pools.POOL.SOURCE] table."""

    weight: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """Its share of the pool's mail, beside the weights of the others."""

    use: Use = Use.ALWAYS
    """`always`, `overflow` (only when a warm-up ceiling blocks the others) or `failover` (only when all others rest,
    are paused or cannot be reached)."""

    providers: tuple[str, ...] = ()
    """Only mail to these, by their names in the shaping rules; "default" is whatever no member of the pool names.
    Empty: all."""


class AssignEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An [[egress.assign]] table. A key that is not there matches everything."""

    pool: str
    """The pool that carries this mail. One that is declared; it may be empty here if another node serves it."""

    stream: Stream | None = None
    """Only mail of this stream."""

    project: str = ""
    """Only mail of the project with this name or id."""

    domain: str = ""
    """Only mail from this sending domain, not its subdomains."""


class EgressSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [egress] table."""

    sources: dict[str, SourceEntry] = {}
    """What this node sends from, by name. Empty: one source, "default", made of [net] and `delivery`."""

    pools: dict[str, dict[str, MemberEntry]] = {}
    """Which sources share which mail, by the pool's name. Empty: all sources are in one pool, "default"."""

    assign: tuple[AssignEntry, ...] = ()
    """Which mail goes through which pool; the first that matches decides, what none matches goes through "default"."""


class Encryption(enum.StrEnum):
    """What a provider must offer before it gets our mail."""

    OPPORTUNISTIC = "opportunistic"  # TLS if offered, whatever the certificate; else in the clear.
    REQUIRED = "required"  # No mail without TLS and a certificate that holds.
    REQUIRED_UNVERIFIED = "required_unverified"  # No mail without TLS, whatever the certificate.


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one provider. What is not set stays as it is. All of them hold per source address."""

    connections: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Open connections at once to the provider as a whole."""

    connections_per_site: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    """Open connections at once to one set of MX hosts of the provider, such as one company at Microsoft 365. 0: no
    bound of its own."""

    messages_per_connection: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Mails after which a connection is closed. Too many annoys the provider, too few costs a handshake a mail."""

    rates: Annotated[str, Meta(max_length=200)] | None = None
    """Mails in a time, up to four with commas: `10/s, 600/min, 20000/h, 100000/d`. Empty: no limit."""

    connection_rate: Annotated[str, Meta(max_length=40)] | None = None
    """New connections in a time, such as `100/min`. Empty: no limit."""

    tls: Encryption | None = None
    """What the provider must offer. `required` defers all mail to a server whose certificate does not hold."""


class ShapingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [shaping] table: what to change in the limits that come with Outrider."""

    file: str = ""
    """A TOML file of your own providers and reply rules, relative to the data directory. They come before ours; one of
    the same name replaces ours."""

    providers: dict[str, Override] = field(default_factory=dict)
    """Limits of one provider, whatever the pool; `default` is every domain without a provider of its own."""

    pools: dict[str, dict[str, Override]] = field(default_factory=dict)
    """Limits of one provider in one pool of [egress]; they win over those of the provider."""

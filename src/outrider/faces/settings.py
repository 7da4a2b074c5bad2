"""The knobs of this floor: [faces], where the faces listen and whom they believe; [submission], mail handed in by SMTP.

Ports are this machine's; what a key may do is `services.settings`' and the key's own. Invariant: a value that is in
bounds by its type can be used; what a type cannot say `config` checks at the start.
"""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]


class FacesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [faces] table."""

    http_host: str = "127.0.0.1"
    """Where the HTTP API listens. `0.0.0.0` opens it to the network: put a TLS proxy in front."""

    http_port: Port = 8025
    """The HTTP API, the mailbox page, health and metrics. Also OUTRIDER_HTTP_PORT."""

    public_url: Annotated[str, Meta(pattern=r"^(?:https?://[!-~]+)?\Z")] = ""
    """How people reach this installation's pages from outside, such as `https://mail.example.com`: links in mails that
    Outrider writes itself begin with it. Empty: none, except in catch mode, where they lead to this machine."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses and ranges of the proxies in front of the HTTP API, such as ["10.0.0.0/8"]: they alone are believed
    when they say for whom they call (X-Forwarded-For), which counts for keys bound to addresses, in events of readers
    and for how often somebody may ask. One too many lets anybody who calls through it claim any address."""

    web_workers: Annotated[int, Meta(ge=1, le=64)] = 2
    """Web processes. Each takes about 70 MB and one core when busy."""

    catch_port: Port = 2525
    """The built-in SMTP receiver of catch mode, on loopback only. Also OUTRIDER_CATCH_PORT."""

    submission_port: Port = 2587
    """SMTP submission with STARTTLS: programs hand in mail here. Also OUTRIDER_SUBMISSION_PORT."""

    submissions_port: Port = 2465
    """SMTP submission with TLS from the first octet. Also OUTRIDER_SUBMISSIONS_PORT."""

    inbound_host: str = "127.0.0.1"
    """Where mail that comes back is taken. `0.0.0.0` opens it to the network; port 25 of the bounce domain's MX leads
    to it."""

    inbound_port: Port = 2526
    """Bounces, complaints and unsubscribes coming in. Also OUTRIDER_INBOUND_PORT."""

    simulator_port: Port = 2528
    """The built-in simulator, on loopback: mail to simulator.outrider.test goes there. Also OUTRIDER_SIMULATOR_PORT."""

    simulator_answers_to: str = ""
    """HOST:PORT for the simulator's late answers (reports, auto-replies). Empty: the inbound port of this node."""

    simulator_answer_after_s: Annotated[float, Meta(ge=0, le=3600)] = 0.5
    """How long after a mail the simulator's late answer to it is sent."""


class LineEnds(enum.StrEnum):
    """What becomes of a line in a message that ends in CR or LF alone."""

    MEND = "mend"  # It ends in CRLF from then on.
    REFUSE = "refuse"


class ReportPolicy(enum.StrEnum):
    """Who gets delivery reports by mail."""

    ASKED = "asked"  # Who asks with NOTIFY.
    FAILURES = "failures"  # And whoever does not say, of failures: as mail servers do. RFC 3461 §4.1.


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of submission.networks: who may hand in mail without a password."""

    range: str
    """An address or range, such as "10.1.2.0/24"."""

    access_key_id: str
    """Whose mail it is: the project of this key. Its scopes, domains, ranges, rate and end hold as with its secret."""


class SubmissionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [submission] table: the SMTP relay. Its ports are in [faces]."""

    host: str = "127.0.0.1"
    """Where it listens. `0.0.0.0` opens it to the network: give it a certificate that clients trust."""

    certificate: str = ""
    """A PEM file with the certificate chain, and the key unless `private_key` names it; relative to the data directory.
    Read again when it changes. Empty: a self-signed one, made at the first start as submission.pem."""

    private_key: str = ""
    """A PEM file with the key of `certificate`."""

    plain_auth_on_loopback: bool = False
    """Takes passwords without TLS from programs on this machine. From elsewhere never."""

    line_ends: LineEnds = LineEnds.MEND
    """A CR or LF alone in a message: `mend` makes it a CRLF, `refuse` refuses the message. Where a message ends is not
    in doubt either way."""

    notices: ReportPolicy = ReportPolicy.ASKED
    """Who gets delivery reports by mail: `asked` only who asks with NOTIFY, `failures` also whoever does not say, of
    failures."""

    delay_notice_after_s: Annotated[float, Meta(ge=60, le=604_800)] = 14_400.0
    """From what age on mail that still waits is reported as delayed, once, to who asked with NOTIFY=DELAY."""

    networks: tuple[NetworkEntry, ...] = ()
    """Who may hand in mail without a password, such as [{range = "10.1.2.3", access_key_id = "..."}]: printers and the
    like. Whoever can send from such an address sends as that key. Empty: nobody."""

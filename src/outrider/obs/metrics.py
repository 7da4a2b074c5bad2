"""Prometheus metrics, declared once: what each means, what healthy looks like, what to page on.

Every process of a node writes to files in one directory (prometheus_client's multiprocess mode; the supervisor sets
PROMETHEUS_MULTIPROC_DIR), and any of them renders the sum, so one scrape of the web port tells about the whole node.
docs/reference/metrics.md is this file as a table (tests/docs compares).
"""

import os
from typing import Final, Literal

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


class Declared(msgspec.Struct, frozen=True):
    """One metric and how to read it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    healthy: str
    page_on: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_ROWS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

ACCEPTED: Final = Declared(
    "outrider_accepted_recipients_total",
    "counter",
    "Recipients accepted: on disk, queued.",
    "Follows your traffic.",
    "Zero while you are sending.",
)
REJECTED: Final = Declared(
    "outrider_rejected_recipients_total",
    "counter",
    "Recipients refused at acceptance, such as malformed addresses.",
    "A few per cent of accepted at most.",
    "A jump after a release of yours: it sends bad addresses.",
)
SETTLED: Final = Declared(
    "outrider_settled_attempts_total",
    "counter",
    "Delivery attempts by what they meant.",
    "Mostly `delivered`.",
    "`deferred` above `delivered` for 15 minutes.",
    ("fate",),
)
SETTLE_LOST: Final = Declared(
    "outrider_settle_lost_total",
    "counter",
    "Attempts whose lane had been taken over before they were recorded; possible duplicates.",
    "Zero but for minutes after a crash.",
    "Steady growth: leases run out while we work (database or CPU too slow).",
)
INTERNAL: Final = Declared(
    "outrider_internal_errors_total",
    "counter",
    "Unexpected exceptions in a worker or a face. Each is in the log with its traceback.",
    "Zero.",
    "Any.",
    ("place",),
)
WRITE_SIZE: Final = Declared(
    "outrider_write_batch_rows",
    "histogram",
    "Rows per group commit.",
    "Grows with load.",
    "-",
    ("station",),
    _ROWS,
)
QUEUE_TIME: Final = Declared(
    "outrider_delivery_seconds",
    "histogram",
    "From acceptance to `delivered`.",
    "Under a second for most mail to healthy domains.",
    "Median above 60 s.",
    (),
    _SECONDS,
)
IN_FLIGHT: Final = Declared(
    "outrider_attempts_in_flight",
    "gauge",
    "Attempts under way now.",
    "Below [engine] in_flight_max.",
    "At in_flight_max for 15 minutes.",
)
LANES_HELD: Final = Declared(
    "outrider_lanes_held",
    "gauge",
    "Lanes leased by this node.",
    "Follows the number of domains being mailed.",
    "-",
)
CONNECTIONS: Final = Declared(
    "outrider_smtp_connections_open", "gauge", "Open SMTP client connections.", "Follows the load.", "-"
)
API_CALLS: Final = Declared(
    "outrider_api_calls_total",
    "counter",
    "API calls answered, by uSpeedo RetCode.",
    "Mostly `0`.",
    "215400 (our fault) above zero for 5 minutes.",
    ("ret_code",),
)
V1_CALLS: Final = Declared(
    "outrider_v1_calls_total",
    "counter",
    "Calls under /v1 answered, by route and HTTP status.",
    "Mostly 200 and 202.",
    "500 above zero for 5 minutes.",
    ("route", "status"),
)
INBOUND: Final = Declared(
    "outrider_inbound_mails_total",
    "counter",
    "Mails that came back and were kept, by what their address was for.",
    "A few per cent of what is sent.",
    "A sudden rise: a bounced campaign, or somebody who knows a token.",
    ("purpose",),
)
FEEDBACK_REFUSED: Final = Declared(
    "outrider_feedback_refused_total",
    "counter",
    "Mails to a feedback address that were refused, by why: no return path of ours was in them that counts.",
    "Mostly `none`: spam. `expired` follows complaints about old mail.",
    "`none` grows as fast as complaints should come: a provider blanks out our return paths.",
    ("reason",),
)
SUBMISSIONS: Final = Declared(
    "outrider_smtp_submissions_total",
    "counter",
    "Messages handed in by SMTP, by the class of the reply: 2 accepted, 4 try again, 5 refused.",
    "Mostly `2`.",
    "`4` above zero for 5 minutes: the database is away, or a key has used up its rate.",
    ("reply",),
)
LOGINS_FAILED: Final = Declared(
    "outrider_smtp_logins_failed_total",
    "counter",
    "SMTP logins that failed: `wrong` key or secret, `forbidden` address or scope, `banned` before it was looked at.",
    "A few: a program with an old secret.",
    "`wrong` grows for an hour: somebody guesses, or one of your programs has an old secret.",
    ("reason",),
)
LISTENING: Final = Declared(
    "outrider_smtp_listening",
    "gauge",
    "Whether an SMTP face has its port: 1, or 0 while the port is taken. It goes on trying, and says so in the log.",
    "1 for `inbound` where the smtp role runs.",
    "`inbound` at 0 for a minute: bounces and complaints do not come in. Sending goes on.",
    ("face",),
)
REPORTS: Final = Declared(
    "outrider_reports_total",
    "counter",
    "Mails that came back and were read, by what they are.",
    "Mostly `bounce` and `auto_reply`.",
    "`complaint` above 0.3 % of what is sent.",
    ("kind",),
)
GUARDS: Final = Declared(
    "outrider_guard_changes_total",
    "counter",
    "Guards that the figures of a project, sending domain or campaign moved into a state. The log says whose and why.",
    "Rare, and followed by `ok`.",
    "Any `pause`.",
    ("state",),
)
CONTENT_CHECKS: Final = Declared(
    "outrider_content_checks_total",
    "counter",
    "Calls whose content was judged, by what became of them and what decided that.",
    "Mostly `pass`.",
    "`refuse` or `hold` above a few per cent: a project sends junk, or the filter has changed its mind.",
    ("action", "cause"),
)
CONTENT_SILENCES: Final = Declared(
    "outrider_content_silences_total",
    "counter",
    "Questions to the junk filter that it did not answer, by why.",
    "Zero.",
    "Growth for 5 minutes: mail passes unseen, or is held, as [content] when_down says.",
    ("cause",),
)
CONTENT_TIME: Final = Declared(
    "outrider_content_seconds",
    "histogram",
    "From a question to the junk filter to its answer.",
    "Under 0.1 s.",
    "Median above 1 s: callers wait for it.",
    (),
    _SECONDS,
)
HITS: Final = Declared(
    "outrider_tracking_hits_total",
    "counter",
    "Opens and clicks that came in: `human` and `machine` are written, `forged` no token of ours, `unknown` of mail"
    " past its retention, `lost` for want of room or since the database refused them.",
    "Mostly `human` and `machine`.",
    "Any `lost`: the database was away too long. `forged` above the others: somebody guesses.",
    ("outcome",),
)
WEBHOOK_CALLS: Final = Declared(
    "outrider_webhook_calls_total",
    "counter",
    "Calls of webhooks made, by what they came to.",
    "Mostly `taken`.",
    "`retried` above `taken` for an hour: servers of several customers do not answer, or ours finds no way out.",
    ("outcome",),
)
WEBHOOK_TIME: Final = Declared(
    "outrider_webhook_seconds",
    "histogram",
    "From the making of a webhook call to its being taken.",
    "Under a second; the tail is servers that were away.",
    "Median above 60 s.",
    (),
    _SECONDS,
)

DECLARED: Final = (
    ACCEPTED,
    REJECTED,
    SETTLED,
    SETTLE_LOST,
    INTERNAL,
    WRITE_SIZE,
    QUEUE_TIME,
    IN_FLIGHT,
    LANES_HELD,
    CONNECTIONS,
    API_CALLS,
    V1_CALLS,
    INBOUND,
    FEEDBACK_REFUSED,
    SUBMISSIONS,
    LOGINS_FAILED,
    LISTENING,
    REPORTS,
    GUARDS,
    CONTENT_CHECKS,
    CONTENT_SILENCES,
    CONTENT_TIME,
    HITS,
    WEBHOOK_CALLS,
    WEBHOOK_TIME,
)


class Metrics:
    """The metrics of one process. Several may live in one test, each with its own registry."""

    def __init__(self) -> None:
        self._registry: Final = CollectorRegistry()
        self.accepted: Final = self._counter(ACCEPTED)
        self.rejected: Final = self._counter(REJECTED)
        self.settled: Final = self._counter(SETTLED)
        self.settle_lost: Final = self._counter(SETTLE_LOST)
        self.internal: Final = self._counter(INTERNAL)
        self.write_size: Final = self._histogram(WRITE_SIZE)
        self.queue_time: Final = self._histogram(QUEUE_TIME)
        self.in_flight: Final = self._gauge(IN_FLIGHT)
        self.lanes_held: Final = self._gauge(LANES_HELD)
        self.connections: Final = self._gauge(CONNECTIONS)
        self.api_calls: Final = self._counter(API_CALLS)
        self.v1_calls: Final = self._counter(V1_CALLS)
        self.inbound: Final = self._counter(INBOUND)
        self.feedback_refused: Final = self._counter(FEEDBACK_REFUSED)
        self.submissions: Final = self._counter(SUBMISSIONS)
        self.logins_failed: Final = self._counter(LOGINS_FAILED)
        self.listening: Final = self._gauge(LISTENING)
        self.reports: Final = self._counter(REPORTS)
        self.guards: Final = self._counter(GUARDS)
        self.content_checks: Final = self._counter(CONTENT_CHECKS)
        self.content_silences: Final = self._counter(CONTENT_SILENCES)
        self.content_time: Final = self._histogram(CONTENT_TIME)
        self.hits: Final = self._counter(HITS)
        self.webhook_calls: Final = self._counter(WEBHOOK_CALLS)
        self.webhook_time: Final = self._histogram(WEBHOOK_TIME)

    def render(self) -> bytes:
        """Return the text exposition: of the whole node if it shares a directory, else of this process."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, declared: Declared) -> Counter:
        assert declared.kind == "counter"
        return Counter(declared.name, declared.meaning, declared.labels, registry=self._registry)

    def _gauge(self, declared: Declared) -> Gauge:
        assert declared.kind == "gauge"
        return Gauge(
            declared.name,
            declared.meaning,
            declared.labels,
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def _histogram(self, declared: Declared) -> Histogram:
        assert declared.kind == "histogram"
        return Histogram(
            declared.name, declared.meaning, declared.labels, registry=self._registry, buckets=declared.buckets
        )

"""What is counted of a project's mail, and what rates mean. Pure; docs/howto/statistics.md says the same for people.

    metric                              counts
    accepted                            recipients of accepted mails, with those that were refused as suppressed
    delivered deferred expired ...      events of that kind; `deferred` is attempts
    bounced, bounced_late               refused for good, at once or by a report that came later; divided into:
      bounced_hard                        the address is at fault and stays so
      blocked                             content, sender, source or policy: they refused us (with `suppressed` ones)
      bounced_soft                        all else, a full mailbox for one; and what expired after deferrals
    opens, clicks                       every hit; _human and _machine ones are told apart
    opens_unique, opens_human_unique    recipients: the first hit, and the first that is not a machine's
    inbox_00 ... inbox_46               deliveries by the time since acceptance (or `send_at`), in buckets

A unique hit is counted at its event, which says that it is the first: a recount gives the same.

Where mail goes is known from its first attempt on: by provider and ip nothing is accepted, and the requests are those
that came to an end there, each once.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from outrider.base.vocab import EventKind
from outrider.policy.reason import Reason

COUNTED: Final = (
    EventKind.ACCEPTED,
    EventKind.DELIVERED,
    EventKind.DEFERRED,
    EventKind.BOUNCED,
    EventKind.BOUNCED_LATE,
    EventKind.EXPIRED,
    EventKind.SUPPRESSED,
    EventKind.CANCELLED,
    EventKind.COMPLAINED,
    EventKind.UNSUBSCRIBED,
    EventKind.RESUBSCRIBED,
    EventKind.OPENED,
    EventKind.CLICKED,
)
# What is kept, a column each.
METRICS: Final = (
    *(kind.value for kind in COUNTED if kind not in (EventKind.OPENED, EventKind.CLICKED)),
    *("bounced_hard", "bounced_soft", "blocked"),
    *("opens", "opens_human", "opens_machine", "opens_unique", "opens_human_unique"),
    *("clicks", "clicks_human", "clicks_machine", "clicks_unique", "clicks_human_unique"),
)
HARD: Final = (
    Reason.RECIPIENT_INVALID,
    Reason.RECIPIENT_DOMAIN_INVALID,
    Reason.RECIPIENT_DISABLED,
    Reason.RECIPIENT_MOVED,
    Reason.UNKNOWN_HARD,
)
BLOCKED: Final = (
    Reason.RECIPIENT_POLICY,
    Reason.CONTENT_SPAM,
    Reason.CONTENT_VIRUS,
    Reason.CONTENT_ATTACHMENT,
    Reason.CONTENT_URL,
    Reason.SENDER_AUTH,
    Reason.SENDER_INVALID,
    Reason.IP_REPUTATION,
    Reason.IP_PTR,
    Reason.RELAY_DENIED,
    Reason.POLICY_OTHER,
)
# Two an octave from 0.1 s, so a percentile is off by less than 42 %; the last holds what took over six days.
BOUNDS_S: Final = tuple(0.1 * 2 ** (step / 2) for step in range(46))
# Dimensions in which nothing is accepted, and what stands for the requests there.
_OF_ATTEMPTS: Final = frozenset({"provider", "ip"})
_ENDED: Final = (EventKind.DELIVERED, EventKind.BOUNCED, EventKind.EXPIRED)
SHARES: Final[Mapping[str, float]] = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}

BUCKETS: Final = tuple(f"inbox_{number:02}" for number in range(len(BOUNDS_S) + 1))


class DeliveryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What became of mail. Ratios are of `requests`, from 0 to 1; None without any.

    `requests` are the recipients of accepted mails; by provider or ip those that were delivered, bounced or expired.
    """

    requests: int
    delivered: int
    delivered_ratio: float | None
    blocked: int
    blocked_ratio: float | None
    bounced_hard: int
    bounced_soft: int
    bounced: int  # Hard and soft.
    bounced_ratio: float | None
    complained: int
    complained_ratio: float | None


class TrackingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What readers did. Ratios are of `delivered`, from 0 to 1; None without any."""

    opens: int
    clicks: int
    opens_human: int
    clicks_human: int
    opens_unique: int
    opens_unique_ratio: float | None
    clicks_unique: int
    clicks_unique_ratio: float | None
    opens_human_unique: int
    clicks_human_unique: int
    unsubscribed: int
    unsubscribed_ratio: float | None
    reading_conversion_ratio: float | None  # Unique clicks of unique opens.
    click_to_open_ratio: float | None  # The same without machines.


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from acceptance to delivery within which that share was delivered; None without any."""

    deliveries: int
    p50_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


def has_requests(dimension: str) -> bool:
    """Whether it is known of accepted mail what it is counted under: "", "template", "tag", not "provider" or "ip"."""
    return dimension not in _OF_ATTEMPTS


def delivery(counts: Mapping[str, int], dimension: str = "") -> DeliveryFigures:
    """Return the figures and rates of delivery, of what was counted in that dimension."""
    requests = sum(counts.get(name, 0) for name in ((EventKind.ACCEPTED,) if has_requests(dimension) else _ENDED))
    hard, soft = counts.get("bounced_hard", 0), counts.get("bounced_soft", 0)
    delivered, blocked, complained = (counts.get(name, 0) for name in ("delivered", "blocked", "complained"))
    return DeliveryFigures(
        requests=requests,
        delivered=delivered,
        delivered_ratio=_ratio(delivered, requests),
        blocked=blocked,
        blocked_ratio=_ratio(blocked, requests),
        bounced_hard=hard,
        bounced_soft=soft,
        bounced=hard + soft,
        bounced_ratio=_ratio(hard + soft, requests),
        complained=complained,
        complained_ratio=_ratio(complained, requests),
    )


def tracking(counts: Mapping[str, int]) -> TrackingFigures:
    """Return the figures and rates of what readers did."""
    delivered = counts.get("delivered", 0)
    opens, clicks = counts.get("opens_unique", 0), counts.get("clicks_unique", 0)
    by_people, clicks_by_people = counts.get("opens_human_unique", 0), counts.get("clicks_human_unique", 0)
    gone = counts.get("unsubscribed", 0)
    return TrackingFigures(
        opens=counts.get("opens", 0),
        clicks=counts.get("clicks", 0),
        opens_human=counts.get("opens_human", 0),
        clicks_human=counts.get("clicks_human", 0),
        opens_unique=opens,
        opens_unique_ratio=_ratio(opens, delivered),
        clicks_unique=clicks,
        clicks_unique_ratio=_ratio(clicks, delivered),
        opens_human_unique=by_people,
        clicks_human_unique=clicks_by_people,
        unsubscribed=gone,
        unsubscribed_ratio=_ratio(gone, delivered),
        reading_conversion_ratio=_ratio(clicks, opens),
        click_to_open_ratio=_ratio(clicks_by_people, by_people),
    )


def inbox(counts: Mapping[str, int]) -> Inbox:
    """Return the percentiles of the time to the inbox, from its buckets among the counts."""
    sizes = [counts.get(bucket, 0) for bucket in BUCKETS]
    found = {name: percentile_s(sizes, share) for name, share in SHARES.items()}
    return Inbox(deliveries=sum(sizes), **found)


def percentile_s(sizes: Sequence[int], share_ratio: float) -> float | None:
    """Return the seconds that this share stays within, interpolated in its bucket; None of nothing.

    Args:
        sizes: of each bucket; the first ends at the first bound, the last has no end: its beginning is the answer.
    """
    wanted = sum(sizes) * share_ratio
    before = 0
    for number, size in enumerate(sizes):
        if size and before + size >= wanted:
            low = BOUNDS_S[number - 1] if number else 0.0
            high = BOUNDS_S[number] if number < len(BOUNDS_S) else low
            return round(low + (high - low) * (wanted - before) / size, 3)
        before += size
    return None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None

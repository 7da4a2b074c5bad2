"""The tables `suppression` and `evidence` of a simulated database; part of `simdatabase`, which see.

One method a statement of `store.suppressions` that the engine runs. Read each beside its SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from outrider.store import suppressions

Rows = list[dict[str, Any]]
_KEY: Final = ("address_key", "project_id", "scope", "subject")


class SimAddresses:
    """The rows of both tables."""

    def __init__(self, lanes: Mapping[int, Any], messages: Mapping[UUID, Mapping[str, Any]]) -> None:
        self._lanes: Final = lanes
        self._messages: Final = messages
        self.suppressions: Final[dict[tuple[Any, ...], dict[str, Any]]] = {}  # By its key.
        self.evidence: Final[list[dict[str, Any]]] = []

    def among(self, keys: Sequence[str], projects: Sequence[UUID], now: datetime) -> Rows:
        """Find what holds for these addresses."""
        return [
            row
            for row in self.suppressions.values()
            if row["address_key"] in keys and row["project_id"] in projects and _holds(row, now)
        ]

    def among_claims(self, *given: Any) -> Rows:
        """Find the claims whose addresses get no mail."""
        everybody, now = given[5:]
        found = []
        for recipient_id, project_id, address_key, lane_id, message_id in zip(*given[:5], strict=True):
            lane, message = self._lanes[lane_id], self._messages.get(message_id, {})
            list_name = message.get("list_name") if message.get("project_id") == project_id else None
            for row in self.among([address_key], [project_id, everybody], now):
                subject = {"all": row["subject"], "stream": lane.stream, "domain": lane.sender_domain}
                subject["list"] = list_name or None
                if subject.get(row["scope"]) == row["subject"]:
                    found.append({"recipient_id": recipient_id, "reason": row["reason"]})
        return found

    def put(self, *columns: Sequence[Any]) -> Rows:
        """Store what is new, holds for longer, or is a complaint of somebody who had only left."""
        written = {}
        for *values, _ in zip(*columns, strict=True):
            row = dict(zip(suppressions.PUT_FIELDS, values, strict=True)) | {"excepted": []}  # Nobody chooses topics.
            key = tuple(row[name] for name in _KEY)
            before = self.suppressions.get(key)
            is_longer = before is None or (before["expires_at"] is not None and _is_later(row, before))
            if is_longer or (row["expires_at"] is None and _reasons(before, row) == ("unsubscribe", "complaint")):
                self.suppressions[key] = written[key] = row
        return [{"address_key": key[0]} for key in written]

    def note(self, *columns: Sequence[Any]) -> Rows:
        """Keep evidence."""
        names = suppressions.Evidence.__struct_fields__
        self.evidence.extend(dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
        return []

    def noted(self, keys: Sequence[str], projects: Sequence[UUID], since: datetime) -> Rows:
        """Read evidence."""
        found = [
            row
            for row in self.evidence
            if row["address_key"] in keys and row["project_id"] in projects and row["at"] >= since
        ]
        return sorted(found, key=lambda row: row["at"])

    def lift(self, projects: Sequence[UUID], keys: Sequence[str]) -> Rows:
        """Forget evidence."""
        mended = set(zip(projects, keys, strict=True))
        self.evidence[:] = [row for row in self.evidence if (row["project_id"], row["address_key"]) not in mended]
        return []


STATEMENTS: Final[Mapping[str, Callable[..., Rows]]] = {
    suppressions._AMONG: SimAddresses.among,
    suppressions._AMONG_CLAIMS: SimAddresses.among_claims,
    suppressions._PUT: SimAddresses.put,
    suppressions._NOTE: SimAddresses.note,
    suppressions._NOTED: SimAddresses.noted,
    suppressions._LIFT: SimAddresses.lift,
}


def _holds(row: Mapping[str, Any], now: datetime) -> bool:
    return row["expires_at"] is None or row["expires_at"] > now


def _is_later(row: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return row["expires_at"] is None or row["expires_at"] > before["expires_at"]


def _reasons(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[str, str]:
    return ("" if before is None else before["reason"], after["reason"])

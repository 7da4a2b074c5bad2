"""What a project says of itself in several matters, changed together or not at all.

Each is read where it counts: notices, senders, content, retention. Here alone it is written, in one transaction, so
that a change that is refused has changed nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol
from uuid import UUID

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import address
from outrider.store import notices, projects, retention
from outrider.store.pool import Store, Tx


class ContentPolicies(Protocol):
    """Who knows what a project may say of its content (`services.content`)."""

    async def change(self, tx: Tx, project_id: UUID, changes: Mapping[str, Any], *, by_operator: bool) -> None:
        """Change what is named. Raises CallerError, ForbiddenError."""


class ProjectTerms:
    """The settings of all projects."""

    def __init__(self, store: Store, contents: ContentPolicies) -> None:
        self._store: Final = store
        self._contents: Final = contents

    async def change(self, project_id: UUID, changes: Mapping[str, Any], *, by_operator: bool = False) -> None:
        """Change what is named, within a second; what is not stays. Safe twice.

        Args:
            changes: `notice_address`, where notices are mailed, "" for nowhere; `unaligned_from`, what becomes of mail
                that would fail DMARC; `content`, by the names of `services.content.OwnPolicy`; `kept_days`, for how
                many days mail is kept, None for as long as the installation says.
            by_operator: content may be changed where projects do not decide about it.

        Raises:
            CallerError: `field` is the name of what is wrong; nothing was changed.
            ForbiddenError: only an operator may change the content's; nothing was changed.
        """
        notice_address = _parse_notice_address(changes.get("notice_address", ""))
        _check_days(changes.get("kept_days"))
        async with self._store.transaction() as tx:
            if "content" in changes:
                await self._contents.change(tx, project_id, changes["content"], by_operator=by_operator)
            if "notice_address" in changes:
                await notices.set_address(tx, project_id, notice_address)
            if "unaligned_from" in changes:
                await projects.set_alignment(tx, project_id, changes["unaligned_from"])
            if "kept_days" in changes:
                await retention.set_days(tx, project_id, changes["kept_days"])


def _parse_notice_address(text: str) -> str:
    try:
        return address.parse(text).text if text else ""
    except CallerError as error:
        raise CallerError(f"Not an address: {error.public}", field="notice_address") from error


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= limits.KEPT_DAYS_COUNT_MAX:
        raise CallerError(f"Mail is kept for 1 to {limits.KEPT_DAYS_COUNT_MAX} days.", field="kept_days")

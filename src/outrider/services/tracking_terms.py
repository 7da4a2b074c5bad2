"""What is tracked of whose mail, and where its links lead: station 3 reads it (`engine.dress.TrackingBook`).

A domain's terms count over its project's, field by field. Links lead to the domain's tracking host once that leads to
us, else to [faces] public_url; without either nothing is tracked, and saying that something should be is refused. What
is said counts everywhere within a second, for mail that nobody has begun to compose.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import TrackedMail
from outrider.engine.dress import Ground
from outrider.mail.link_tokens import Tokens
from outrider.policy.tracking import NOTHING, Terms, check_links, merged, normalised
from outrider.store import projects, tracking
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.vault import Vault

_PURPOSE: Final = "tracking link tokens 1"  # Danger: another one kills the links of all mail that has left.
_FRESH_S: Final = 0.5  # As quotas, keys and senders.


class TermsView(msgspec.Struct, frozen=True):
    """What is said of tracking, and what follows from it."""

    own: Terms  # What the project, or the domain, says itself.
    terms: Terms  # What counts: with the project's words where a domain says nothing.
    base_url: str  # What links begin with; "": nowhere to lead to, so nothing is tracked.


class TrackingTerms:
    """The terms of all projects and domains."""

    def __init__(
        self, store: Store, tokens: Tokens, *, clock: Clock, links_root: str, own_host_scheme: str = "https"
    ) -> None:
        """`links_root` is what links to our own pages begin with, "" for none."""
        self.tokens: Final = tokens
        self._store: Final = store
        self._links_root: Final = links_root
        self._scheme: Final = own_host_scheme
        self._known: Final = Recent[tuple[UUID, str], Ground](self._read, clock=clock, fresh_s=_FRESH_S)

    async def ground_of(self, project_id: UUID, sender_domain: str) -> Ground:
        """Return what counts for a project's mail from a domain, at most half a second old."""
        return await self._known.get((project_id, sender_domain))

    async def view(self, project_id: UUID, domain: str = "") -> TermsView:
        """Return what a project says, or one of its domains; a domain that it does not have says nothing."""
        async with self._store.transaction() as tx:
            said = await tracking.of_mail(tx, project_id, domain)
        ground = self._ground(said)
        return TermsView(_terms(said.domain if domain else said.project), ground.terms, ground.base_url)

    async def change(self, project_id: UUID, changes: Mapping[str, object], *, domain: str = "") -> TermsView:
        """Let a project, or one of its domains, say something else of these fields (`Terms`); None: nothing any more.

        Raises:
            NotFoundError: the project has no such domain.
            CallerError: a value is none of those that may be; or something is to be tracked, and links would lead
                nowhere.
        """
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)  # So that two changes of other fields both count.
            said = await tracking.of_mail(tx, project_id, domain)
            terms = _changed(_terms(said.domain if domain else said.project), changes)
            wanted = [name for name in ("opens", "clicks") if getattr(terms, name) not in (None, TrackedMail.OFF)]
            if not self._ground(said).base_url and any(name in changes for name in wanted):
                raise CallerError(
                    "Links would lead nowhere: set [faces] public_url, or give the domain a tracking host first.",
                    field=wanted[0],
                )
            encoded = msgspec.json.encode(terms).decode("utf-8")
            if not domain:
                await tracking.set_of_project(tx, project_id, encoded)
            elif not await tracking.set_of_domain(tx, project_id, domain, encoded):
                raise NotFoundError("There is no such domain.", domain=domain)
        return await self.view(project_id, domain)

    async def _read(self, key: tuple[UUID, str]) -> Ground:
        async with self._store.transaction() as tx:
            return self._ground(await tracking.of_mail(tx, *key))

    def _ground(self, said: tracking.Said) -> Ground:
        base_url = f"{self._scheme}://{said.host}" if said.host else self._links_root
        return Ground(
            terms=merged(_terms(said.project), _terms(said.domain)),
            base_url=base_url,
            host=said.host,
            links_root=self._links_root,
        )


def tokens_of(vault: Vault) -> Tokens:
    """Return what makes and reads the tokens of this installation. `vault` is its alone: see `Vault.refresh`."""
    key, *older = vault.derive(_PURPOSE)
    return Tokens(key, older, read_keys=lambda: vault.derive(_PURPOSE) if vault.refresh() else None)


def _terms(text: str) -> Terms:
    return NOTHING if text == "{}" else normalised(msgspec.json.decode(text, type=Terms))


def _changed(terms: Terms, changes: Mapping[str, object]) -> Terms:
    """Return terms with these fields. Raises CallerError."""
    said = {name: value for name in Terms.__struct_fields__ if (value := getattr(terms, name)) is not None}
    said |= {name: value for name, value in changes.items() if value is not None}
    try:
        new = msgspec.convert({name: value for name, value in changes.items() if value is not None}, Terms)
        terms = msgspec.convert({name: said[name] for name in said if changes.get(name, "") is not None}, Terms)
    except msgspec.ValidationError as error:
        raise CallerError(f"{error}.", field="tracking") from None
    check_links(new)  # Not what was stored before there was a check.
    return normalised(terms)

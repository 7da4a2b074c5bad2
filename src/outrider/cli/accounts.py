"""`outrider init`, `outrider key ...`: projects and API keys.

`init` is safe to repeat and always prints a key pair that works: in catch mode the quick start's own, kept in the data
directory; in the other modes a new one, since a secret cannot be read again. Other tools rely on `init --json` and
`key create --json` printing `access_key_id` and `access_key_secret`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError
from outrider.base.vocab import KeyScope
from outrider.cli import output, quickstart, session
from outrider.cli.options import AsJson, Project
from outrider.services.access import Token
from outrider.services.accounts import DEFAULT_PROJECT, ApiKey, KeyPair, KeyTerms

keys = typer.Typer(help="API key pairs: create, list, change, revoke; access tokens.", no_args_is_help=True)
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id, 32 hex characters.")]
Scopes = Annotated[
    list[KeyScope] | None, typer.Option("--scope", help="It may do this alone; repeat it. Else everything.")
]
IpRanges = Annotated[
    list[str] | None,
    typer.Option("--ip", help="It works from this address or range alone (192.0.2.0/24); repeat it, or say any."),
]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="It may send from this domain alone; repeat it, or say any.")
]
Expires = Annotated[str | None, typer.Option(help="When it ends: 90d, 2027-01-31, 2027-01-31T12:00:00Z, or never.")]
Rate = Annotated[
    str | None, typer.Option(help="API calls a minute; 0: no limit; default: as [access] rate_per_minute says.")
]
Signed = Annotated[
    bool | None,
    typer.Option(
        "--signed/--no-signed",
        help="Whether uSpeedo's signed calls count for it. Without them its secret is not kept; that cannot be undone.",
    ),
]
_LIFE: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ANY: Final = "any"
NEVER: Final = "never"
DEFAULT: Final = "default"


class _Wanted(msgspec.Struct, frozen=True):
    """What somebody typed of a key's terms; None: nothing."""

    scopes: Sequence[KeyScope] | None
    ip_ranges: Sequence[str] | None
    domains: Sequence[str] | None
    expires: str | None
    rate: str | None

    def terms(self, now: datetime) -> dict[str, Any]:
        """Return what was typed, by the names in `KeyTerms`. Raises CallerError."""
        changes: dict[str, Any] = {}
        if self.scopes:
            changes["scopes"] = frozenset(self.scopes)
        if self.ip_ranges:
            changes["ip_ranges"] = () if list(self.ip_ranges) == [ANY] else tuple(self.ip_ranges)
        if self.domains:
            changes["domains"] = () if list(self.domains) == [ANY] else tuple(self.domains)
        if self.expires is not None:
            changes["expires_at"] = None if self.expires == NEVER else _parse_expiry(self.expires, now)
        if self.rate is not None:
            changes["rate_per_minute"] = None if self.rate == DEFAULT else _parse_rate(self.rate)
        return changes


def init(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Set up the data directory and the database, make the project, and print a key pair for it. Safe to repeat."""

    async def work(services: Services) -> KeyPair:
        if services.context.config.is_catch and project == DEFAULT_PROJECT:
            return await quickstart.ensure(services)
        made = await services.accounts.ensure_project(project)
        return await services.accounts.create_key(made.project_id, "init")

    _show_pair(session.run(work), as_json=as_json)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "cli",
    *,
    scopes: Scopes = None,
    ip_ranges: IpRanges = None,
    domains: Domains = None,
    expires: Expires = None,
    rate: Rate = None,
    signed: Signed = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make a key pair and print it; the secret is shown this once. Without options it may do everything, for ever."""
    wanted = _Wanted(scopes, ip_ranges, domains, expires, rate)

    async def work(services: Services) -> KeyPair:
        made = await services.accounts.ensure_project(project)
        terms = KeyTerms(**wanted.terms(services.context.clock.now()))
        return await services.accounts.create_key(made.project_id, name, terms, allow_signed=signed)

    _show_pair(session.run(work), as_json=as_json)


@keys.command("change")
def change_key(
    access_key_id: KeyId,
    *,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
    scopes: Scopes = None,
    ip_ranges: IpRanges = None,
    domains: Domains = None,
    expires: Expires = None,
    rate: Rate = None,
    signed: Signed = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change what a key may do; what is not given stays. Counts everywhere within a second, for its tokens too."""
    wanted = _Wanted(scopes, ip_ranges, domains, expires, rate)

    async def work(services: Services, project_id: UUID) -> ApiKey:
        changes = wanted.terms(services.context.clock.now())
        changes |= {} if name is None else {"name": name}
        changes |= {} if signed is None else {"allow_signed": signed}
        return await services.accounts.change_key(project_id, access_key_id, changes)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@keys.command("list")
def list_keys(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's keys, what they may do and when they were last used; revoked ones too."""
    found = session.run_in(project, lambda services, project_id: services.accounts.list_keys(project_id))
    rows = [_facts(key) for key in found]
    if as_json:
        output.show_json(rows)
        return
    columns = [
        "ACCESS KEY ID",
        "NAME",
        "MAY",
        "FROM",
        "DOMAINS",
        "A MINUTE",
        "SIGNED",
        "EXPIRES",
        "LAST USED",
        "REVOKED",
    ]
    cells = [[_short(value) for name, value in row.items() if name != "created_at"] for row in rows]
    output.show_table(columns, cells, empty="No keys.")


@keys.command("token")
def make_token(
    access_key_id: KeyId,
    *,
    life: Annotated[str, typer.Option(help="How long it counts: 45m, 12h, 7d; at most 30d.")] = "1h",
    scopes: Annotated[
        list[KeyScope] | None, typer.Option("--scope", help="It may do this alone; repeat it. Else what its key may.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make an access token that stands for a key for a while, for `X-AccessToken` or `Authorization: Bearer`.

    Revoking the key, or changing what it may do, counts for its tokens within a second.
    """

    async def work(services: Services, project_id: UUID) -> Token:
        caller = await services.access.caller_of(project_id, access_key_id)
        wanted = frozenset(scopes) if scopes else None
        return services.access.issue_token(caller, life_s=_parse_life(life).total_seconds(), scopes=wanted)

    made = session.run_in(project, work)
    facts = {"token": made.token, "expires_at": made.expires_at, "scopes": sorted(made.scopes)}
    output.show_facts(facts if as_json else {name: _short(value) for name, value in facts.items()}, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    access_key_id: KeyId,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make a key worthless everywhere within a second. Safe to repeat."""
    session.run_in(project, lambda services, project_id: services.accounts.revoke_key(project_id, access_key_id))
    if as_json:
        output.show_json({"access_key_id": access_key_id, "revoked": True})
    else:
        output.show_facts({"revoked": access_key_id})


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "access_key_id": key.access_key_id,
        "name": key.name,
        "created_at": key.created_at,
        "scopes": sorted(key.terms.scopes),
        "ip_ranges": key.terms.ip_ranges,
        "domains": key.terms.domains,
        "rate_per_minute": key.terms.rate_per_minute,
        "allow_signed": key.allow_signed,
        "expires_at": key.terms.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _short(value: object) -> object:
    """Return a cell of a table: lists with a space between, instants to the second, yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds").removesuffix("+00:00")
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _parse_life(text: str) -> timedelta:
    match = _LIFE.fullmatch(text)
    if match is None:
        raise CallerError("A time is a number and a unit: 45m, 12h, 7d.", field="life")
    return timedelta(seconds=int(match[1]) * _UNIT_S[match[2]])


def _parse_expiry(text: str, now: datetime) -> datetime:
    if _LIFE.fullmatch(text):
        return now + _parse_life(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CallerError("It ends at 90d, 2027-01-31, 2027-01-31T12:00:00Z, or never.", field="expires") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _parse_rate(text: str) -> int:
    rate = digits.parse(text)
    if rate is None:
        raise CallerError("A rate is a number of calls a minute, or default.", field="rate")
    return rate


def _show_pair(pair: KeyPair, *, as_json: bool) -> None:
    if as_json:
        output.show_json(msgspec.structs.asdict(pair))
    else:
        output.show_facts({"access key id": pair.access_key_id, "access key secret": pair.access_key_secret})

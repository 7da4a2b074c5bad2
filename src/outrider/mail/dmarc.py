"""DMARC records: read, and changed as little as our reports need.

    parse("v=DMARC1; p=none; rua=mailto:d@example") -> Dmarc
    merge(published, address) -> the record with our report address among the others
    host_of(domain)               where the policy is; of a domain without one, the organizational domain's counts
    report_host(domain, address)  where the receiver of reports says that it wants them

Tags that RFC 7489 does not name are kept and not read. Sources: RFC 7489 §6.3 (tags), §6.6.3 (discovery), §7.1.
"""

import re
from typing import Final

import msgspec

from outrider.mail import orgdomain, txt

VERSION: Final = "DMARC1"
POLICIES: Final = ("none", "quarantine", "reject")
_begins: Final = re.compile(r"\s*v\s*=\s*DMARC1\s*(?:;|\Z)").match
_percent: Final = re.compile(r"(?:100|[1-9]?[0-9])\Z").match
_SIZE: Final = re.compile(r"![0-9]+[kmgt]?\Z", re.IGNORECASE)  # The largest report an address wants: "!10m".
_MAILTO: Final = "mailto:"


class DmarcError(ValueError):
    """A DMARC record that receivers cannot use; the text says why, for people."""


class Dmarc(msgspec.Struct, frozen=True, kw_only=True):
    """A policy."""

    policy: str  # Of POLICIES.
    subdomain_policy: str  # What holds for names below; `policy` where the record does not say.
    reports: tuple[str, ...] = ()  # Where summaries go: URIs as written.
    failure_reports: tuple[str, ...] = ()
    is_dkim_strict: bool = False
    is_spf_strict: bool = False
    percent: int = 100

    @property
    def report_addresses(self) -> tuple[str, ...]:
        """The addresses of `reports`, in lower case, without size limits."""
        return tuple(_address_of(uri) for uri in self.reports if uri.lower().startswith(_MAILTO))


def is_dmarc(text: str) -> bool:
    """Tell whether receivers take this TXT text for a DMARC record; others at that name do not count."""
    return _begins(text) is not None


def parse(text: str) -> Dmarc:
    """Read a record.

    Raises:
        DmarcError: it does not begin with v=DMARC1, has no p=, or a tag says what it may not.
    """
    try:
        tags = txt.read_tags(text)
    except txt.TagsError as error:
        raise DmarcError(str(error)) from error
    if next(iter(tags), "") != "v" or tags["v"] != VERSION:
        raise DmarcError("it does not begin with v=DMARC1")
    if "p" not in tags:
        raise DmarcError("it has no p=")
    policy = _one_of(tags, "p", POLICIES)
    percent = tags.get("pct", "100")
    if not _percent(percent):
        raise DmarcError("pct= is not a number from 0 to 100")
    return Dmarc(
        policy=policy,
        subdomain_policy=_one_of(tags, "sp", POLICIES) if "sp" in tags else policy,
        reports=_uris(tags, "rua"),
        failure_reports=_uris(tags, "ruf"),
        is_dkim_strict=_one_of(tags, "adkim", ("r", "s")) == "s",
        is_spf_strict=_one_of(tags, "aspf", ("r", "s")) == "s",
        percent=int(percent),
    )


def first(address: str) -> str:
    """Return the record to start with: it asks for nothing but reports. `address` "" asks for none."""
    tags = {"v": VERSION, "p": "none"} | ({"rua": _MAILTO + _uri_form(address)} if address else {})
    return txt.write_tags(tags)


def merge(published: str, address: str) -> str:
    """Return the published record with `address` among those that get its reports. Safe twice.

    Tags and addresses that are there stay, in their order. One that asks the address already, or that cannot be read
    (an error to be seen, not to be written over), comes back as it is.
    """
    try:
        found = parse(published)
    except DmarcError:
        return published
    if not address or address.lower() in found.report_addresses:
        return published
    tags = txt.read_tags(published)
    tags["rua"] = ",".join([*found.reports, _MAILTO + _uri_form(address)])
    return txt.write_tags(tags)


def host_of(domain: str) -> str:
    """Return where the policy of a domain is published."""
    return f"_dmarc.{domain}"


def inherited_host(domain: str) -> str:
    """Return where receivers look when the domain has no record of its own; "" if that is nowhere else."""
    organization = orgdomain.of(domain)
    return host_of(organization) if organization != domain else ""


def report_host(domain: str, address: str) -> str:
    """Return the name at which the address's domain must say `v=DMARC1` to get reports on `domain`; "": need not.

    Source: RFC 7489 §7.1: whoever shares the organizational domain need not.
    """
    target = address.rpartition("@")[2].lower()
    return "" if orgdomain.of(target) == orgdomain.of(domain) else f"{domain}._report._dmarc.{target}"


def _one_of(tags: dict[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = tags.get(name, allowed[0]).lower()
    if value not in allowed:
        raise DmarcError(f"{name}= is none of {', '.join(allowed)}")
    return value


def _uris(tags: dict[str, str], name: str) -> tuple[str, ...]:
    uris = tuple(uri.strip() for uri in tags.get(name, "").split(",") if uri.strip())
    if any(":" not in uri for uri in uris):
        raise DmarcError(f"{name}= lists an address without mailto:")
    return uris


def _address_of(uri: str) -> str:
    return _SIZE.sub("", uri[len(_MAILTO) :].lower()).replace("%2c", ",").replace("%21", "!").replace("%3b", ";")


def _uri_form(address: str) -> str:
    """Escape what parts URIs and tags. Source: RFC 7489 §6.4."""
    return address.replace(",", "%2C").replace("!", "%21").replace(";", "%3B")

"""What a receiver makes of mail: DKIM by dkimpy, SPF by pyspf, DMARC by authheaders, none of which is ours.

    echo '{"dns": "127.0.0.1:5353", "mails": [...]}' | /usr/bin/python3 tests/e2e/oracle.py

Debian has all three (python3-authheaders, python3-spf); it runs on the system's Python and knows nothing of this
package. A mail is `{"ip", "helo", "mail_from", "from_domain", "content"}`, the content in base64; the answer is a list
of `{"dkim", "spf", "dmarc", "dmarc_by_dkim", "dmarc_by_spf", "header"}`. Without the packages it ends with 3.
"""

import base64
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
try:
    import authheaders
    import dkim
    import dns.resolver
    import spf
    from authheaders import dmarc_lookup
    from publicsuffix2 import PublicSuffixList
except ImportError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(3) from None


def domain_part(address: Any) -> str:
    """Return the domain of an address. That of authheaders 0.15 stops at a hyphen, so knows no A-label."""
    text = address.decode() if isinstance(address, bytes) else str(address)
    return str(re.findall(r"@([A-Za-z0-9.-]+)", text)[-1]).lower()


def judge(mail: dict[str, str]) -> dict[str, Any]:
    """Return what a receiver would write into Authentication-Results, and how it came to that."""
    content = base64.b64decode(mail["content"])
    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.DKIM(content).headers)
    signatures = []
    for index in range(count):
        one = dkim.DKIM(content)
        try:
            is_good = one.verify(idx=index)
        except dkim.DKIMException as error:
            is_good = str(error)
        tags = {name.decode(): value.decode() for name, value in one.signature_fields.items()}
        signatures.append({"a": tags.get("a"), "d": tags.get("d"), "s": tags.get("s"), "is_good": is_good is True})

    def by_spf() -> Any:  # A new one each time: authheaders changes what it is handed.
        return authheaders.check_spf(mail["ip"], mail["mail_from"], mail["helo"])

    by_dkim = authheaders.check_dkim(content)
    header = authheaders.authenticate_message(
        content, "mx.client.example", spf=True, ip=mail["ip"], mail_from=mail["mail_from"], helo=mail["helo"]
    )
    per_from = authheaders.dmarc_per_from
    return {
        "dkim": signatures,
        "spf": by_spf().result,
        "dmarc": authheaders.check_dmarc(content, by_spf(), by_dkim).result,
        "dmarc_by_dkim": per_from(mail["from_domain"], None, by_dkim)[0],
        "dmarc_by_spf": per_from(mail["from_domain"], by_spf(), None)[0],
        "header": header,
    }


def main() -> None:
    """Judge what stdin holds."""
    request = json.load(sys.stdin)
    host, _, port = request["dns"].partition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), 10.0
    dns.resolver.default_resolver = resolver
    authheaders.get_domain_part = domain_part
    # Its list has no "example", and it takes all names below what is not on the list for one organization's, so nothing
    # there would ever fail. It also reads the list for each question.
    listed = Path(dmarc_lookup.get_suffix_list_file_name()).read_text("utf-8").splitlines()
    suffixes = PublicSuffixList([*listed, "example"])
    authheaders.get_org_domain = dmarc_lookup.get_org_domain = suffixes.get_public_suffix
    assert spf.DNSLookup is spf.DNSLookup_dnspython, "SPF asks the same name server"
    json.dump([judge(mail) for mail in request["mails"]], sys.stdout)


if __name__ == "__main__":
    main()

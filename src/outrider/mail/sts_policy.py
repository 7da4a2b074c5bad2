"""The policy file of MTA-STS: what those who bring mail to a host may count on.

    compose(MtaSts.ENFORCE, "mx.us.example")    what https://mta-sts.HOST/.well-known/mta-sts.txt says
    version(text)                               the id of the TXT record; another text has another one

Who has a policy asks for the file again when the id in DNS changes, or its time is over. So the id is made of the text:
nobody has to remember to change it. Policies of others are not read here. Source: RFC 8461 §3.1, §3.2 and §8.3.
"""

import hashlib
from typing import Final

from outrider.base.vocab import MtaSts

PATH: Final = "/.well-known/mta-sts.txt"  # RFC 8461 §3.3.
_HOST_PREFIX: Final = "mta-sts."
_VERSION_CHARS: Final = 20  # RFC 8461 §3.1: at most 32, letters and digits. Ours: 80 bits tell all texts apart.
# How long senders may go by a policy. RFC 8461 §3.2: weeks, where it protects; a trial or an end is over in a day.
_AGES_S: Final = {MtaSts.TESTING: 86_400, MtaSts.ENFORCE: 1_209_600, MtaSts.NONE: 86_400}


def compose(mode: MtaSts, mx_host: str) -> str:
    """Return the file for mail that `mx_host` takes; "" where there is no policy.

    Lines end in CRLF.
    """
    if mode is MtaSts.OFF or not mx_host:
        return ""
    lines = ["version: STSv1", f"mode: {mode}", f"mx: {mx_host.lower().removesuffix('.')}", f"max_age: {_AGES_S[mode]}"]
    return "".join(f"{line}\r\n" for line in lines)


def version(text: str) -> str:
    """Return the id by which senders tell this policy from the one they have; "" for none."""
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_CHARS] if text else ""


def host_of(name: str) -> str:
    """Return the host that serves the policy for mail to `name`."""
    return f"{_HOST_PREFIX}{name}"


def name_of(host: str) -> str:
    """Return the name whose policy that host serves, lower case; "" if it serves none. A port is passed over."""
    name = host.partition(":")[0].lower().removesuffix(".")
    return name.removeprefix(_HOST_PREFIX) if name.startswith(_HOST_PREFIX) else ""

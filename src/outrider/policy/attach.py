"""Which files may travel with a mail. Pure.

A mail with a file that providers block is refused by them whole, so it is refused here, where the caller still hears
of it. Told by the name, as they do; a type that says "program" is one, too. Archives are not opened: an operator who
must have them out has a scanner.

    check(file, field="attachments[0]")    raises, or all is well

Source of the names: Gmail, "File types blocked in Gmail" (support.google.com/mail/answer/6590, read 2026-11-27);
Outlook's list is much the same.
"""

import unicodedata
from typing import Final

from outrider.base import limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.mail import headers, mime
from outrider.mail.mime import File

BLOCKED_SUFFIXES: Final = frozenset(
    {
        *("ade", "adp", "apk", "appx", "appxbundle", "bat", "cab", "chm", "cmd", "com", "cpl", "diagcab", "diagcfg"),
        *("diagpkg", "dll", "dmg", "ex", "ex_", "exe", "hta", "img", "ins", "iso", "isp", "jar", "jnlp", "js", "jse"),
        *(
            "lib",
            "lnk",
            "mde",
            "mjs",
            "msc",
            "msi",
            "msix",
            "msixbundle",
            "msp",
            "mst",
            "nsh",
            "pif",
            "ps1",
            "scr",
            "sct",
        ),
        *("shb", "sys", "vb", "vbe", "vbs", "vhd", "vxd", "wsc", "wsf", "wsh", "xll"),
    }
)
# Registered and usual names of what a computer runs when it is opened.
BLOCKED_TYPES: Final = frozenset(
    {
        *("application/x-msdownload", "application/x-msdos-program", "application/x-ms-installer", "application/x-msi"),
        *(
            "application/hta",
            "application/java-archive",
            "application/x-sh",
            "application/javascript",
            "text/javascript",
        ),
        *("application/x-dosexec", "application/vnd.microsoft.portable-executable"),
        "application/vnd.android.package-archive",
    }
)
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_TYPE_CHARS_MAX: Final = 200  # Ours: with its parameters.


def check(file: File, *, field: str) -> None:
    """Refuse a file that may not travel, or cannot.

    Raises:
        CallerError: `field`, with `.name`, `.type`, `.content` or `.content_id`, is at fault.
    """
    _check_name(file.name, f"{field}.name")
    if len(file.type) > _TYPE_CHARS_MAX or not mime.is_type(file.type):
        raise CallerError("A type looks like application/pdf.", field=f"{field}.type")
    if file.content_id and not mime.is_content_id(file.content_id):
        raise CallerError("A content id has letters, digits, dots, dashes or @.", field=f"{field}.content_id")
    for suffix in _suffixes(file.name):
        if suffix in BLOCKED_SUFFIXES:
            raise CallerError(f"Mail providers block .{suffix} files: send a link instead.", field=f"{field}.name")
    kind = file.type.partition(";")[0].strip().lower()
    if kind in BLOCKED_TYPES:
        raise CallerError(f"Mail providers block {kind}: send a link instead.", field=f"{field}.type")


def _suffixes(name: str) -> list[str]:
    """Return what the file may be saved as, in lower case.

    Windows drops dots and blanks at the end, takes what is behind a colon for a stream of the file before it, and older
    programs write "\uff45" as "e" (NFKC). Other mail programs write another character in place of the colon.
    Source: learn.microsoft.com/windows/win32/fileio/naming-a-file (trailing periods; file streams).
    """
    parts = unicodedata.normalize("NFKC", name).lower().split(":")
    saved = [part.rstrip(" .") for part in parts]
    return [part.rpartition(".")[2].strip() for part in saved if "." in part]


def check_sizes(sizes_bytes: list[int], *, field: str) -> None:
    """Refuse too many or too large files.

    Raises:
        CallerError: too many.
        TooLargeError: together they are too large.
    """
    if len(sizes_bytes) > limits.ATTACHMENTS_COUNT_MAX:
        raise CallerError(
            f"{len(sizes_bytes)} attachments; at most {limits.ATTACHMENTS_COUNT_MAX} are allowed.", field=field
        )
    if (total_bytes := sum(sizes_bytes)) > limits.ATTACHMENTS_BYTES_MAX:
        raise TooLargeError(
            f"The attachments have {total_bytes} bytes; at most {limits.ATTACHMENTS_BYTES_MAX} fit into one mail.",
            field=field,
        )


def _check_name(name: str, field: str) -> None:
    if not 1 <= len(name) <= limits.ATTACHMENT_NAME_CHARS_MAX:
        raise CallerError(f"A name has 1 to {limits.ATTACHMENT_NAME_CHARS_MAX} characters.", field=field)
    headers.check_value(name, field=field)
    if not _BIDI.isdisjoint(name):
        raise CallerError("A name has a character that changes the direction of text.", field=field)
    if "/" in name or "\\" in name or name.strip(". ") == "":
        raise CallerError("A name is that of a file, without a folder.", field=field)

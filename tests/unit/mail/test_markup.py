"""HTML in pieces: what is a tag, what is text, and that nothing takes long."""

from time import process_time

import pytest

from outrider.mail.markup import scan


def pieces(source: str) -> list[tuple[str, str]]:
    return [(piece.kind.name, piece.name or piece.text) for piece in scan(source)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a<b>c</b>", [("TEXT", "a"), ("START", "b"), ("TEXT", "c"), ("END", "b")]),
        ("<!doctype html><!-- <b> -->x", [("OTHER", "<!doctype html>"), ("COMMENT", " <b> "), ("TEXT", "x")]),
        ("1 < 2 &amp; 3", [("TEXT", "1 < 2 & 3")]),
        ('<a title=">">x', [("START", "a"), ("TEXT", "x")]),
        ("<style>a>b{}</style>x", [("START", "style"), ("TEXT", "style"), ("END", "style"), ("TEXT", "x")]),
        ("x<a href='", [("TEXT", "x")]),
        ("x<!-- y", [("TEXT", "x")]),
        ("<BR/>", [("START", "br")]),
        (
            "<!-->x<!--->y<!---->z",
            [("COMMENT", ""), ("TEXT", "x"), ("COMMENT", ""), ("TEXT", "y"), *[("COMMENT", "")], ("TEXT", "z")],
        ),
        ("<!-- a --!>x", [("COMMENT", " a "), ("TEXT", "x")]),
        ("<!-- a <!-- b -->x", [("COMMENT", " a <!-- b "), ("TEXT", "x")]),
        ('<a b="c"">x', [("START", "a"), ("TEXT", "x")]),
        ("<a b=c'd>x", [("START", "a"), ("TEXT", "x")]),
        ('<a"b>x', [("START", 'a"b'), ("TEXT", "x")]),
        ("</ a><b>x", [("OTHER", "</ a>"), ("START", "b"), ("TEXT", "x")]),
        ("</>x</", [("OTHER", "</>"), ("TEXT", "x</")]),
        ("<a", []),
        ("</a", []),
        ("<style></styles></STYLE >x", [("START", "style"), ("TEXT", "style"), ("END", "style"), ("TEXT", "x")]),
        ("<title/><b></title>x", [("START", "title"), ("TEXT", "title"), ("END", "title"), ("TEXT", "x")]),
        ("<script><!--<script></script><b></script>", [("START", "script"), ("TEXT", "script"), ("END", "script")]),
        ("<script><!--></script><b>", [("START", "script"), ("TEXT", "script"), ("END", "script"), ("START", "b")]),
        ("<plaintext></plaintext><b>", [("START", "plaintext")]),
        ("<![CDATA[<b>]]>", [("OTHER", "<![CDATA[<b>"), ("TEXT", "]]>")]),
        ("<svg><![CDATA[<b>]]></svg>", [("START", "svg"), ("TEXT", "<b>"), ("END", "svg")]),
        ("<svg><style/><a></svg>", [("START", "svg"), ("START", "style"), ("START", "a"), ("END", "svg")]),
        ("<svg><p><style><a>", [("START", "svg"), ("START", "p"), ("START", "style")]),
        ("<svg></p><style><a>", [("START", "svg"), ("END", "p"), ("START", "style")]),
        ("<svg/><style><a>", [("START", "svg"), ("START", "style")]),
        ("<svg a=b/><style></svg>", [("START", "svg"), ("START", "style"), ("END", "svg")]),
        ("<svg><desc><style><a>", [("START", "svg"), ("START", "desc"), ("START", "style")]),
        (
            "<svg><svg></svg><style></svg>x",
            [("START", "svg"), ("START", "svg"), ("END", "svg"), ("START", "style"), ("END", "svg"), ("TEXT", "x")],
        ),
    ],
)
def test_pieces_are_what_a_browser_sees(source: str, found: list[tuple[str, str]]) -> None:
    assert pieces(source) == found


def test_attributes_are_read_without_quotes_and_references() -> None:
    piece = next(scan("""<a HREF="x?a=1&amp;b" title='"' data-x=1 hidden href=y>"""))
    assert piece.attributes == {"href": "x?a=1&b", "title": '"', "data-x": "1", "hidden": ""}


def test_white_space_is_html_s_alone() -> None:
    piece = next(scan("<a\fx\xa0y\vz=1 =w=2 / q>"))
    assert piece.attributes == {"x\xa0y\vz": "1", "=w": "2", "q": ""}


def test_values_have_their_places() -> None:
    source = """-<a x="1" Y='2' z=3/ w u= ">"  v="">"""
    piece = list(scan(source))[1]
    found = [(name, source[start:stop] if start >= 0 else None) for name, start, stop in piece.places()]
    assert found == [("x", "1"), ("y", "2"), ("z", "3/"), ("w", None), ("u", ">"), ("v", "")]


def test_places_are_those_of_the_source() -> None:
    source = "a<b x='1'>c<!--d--></b>"
    assert "".join(source[piece.start : piece.stop] for piece in scan(source)) == source


@pytest.mark.parametrize("piece", ["<", "<!--", '<a "', "<a '", "<a <", "</", "<style>", "<a b=", "<a>", "<!", "&"])
def test_hostile_html_is_read_in_linear_time(piece: str) -> None:
    source = piece * (200_000 // len(piece))
    started_s = process_time()
    for found in scan(source):
        assert found.attributes is not None
    assert process_time() - started_s < 2.0

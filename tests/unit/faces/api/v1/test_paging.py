"""Pages: one more than asked for says that there is a next one."""

from outrider.faces.api.v1 import paging


def test_a_page_is_cut_behind_its_last_row() -> None:
    assert paging.cut([], 2, str) == ([], None)
    assert paging.cut([1, 2], 2, str) == ([1, 2], None)
    assert paging.cut([1, 2, 3], 2, str) == ([1, 2], "2")

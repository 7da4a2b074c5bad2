from typing import Any

import pytest

from outrider.base import errors as server
from outrider.client import errors
from outrider.client.errors import BadRequestError, Problem, ProblemError, ServerError, error_of


def kinds(root: type[Any]) -> list[type[Any]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


@pytest.mark.parametrize("status", sorted({kind.status for kind in kinds(server.OutriderError)}))
def test_every_status_of_the_server_has_its_exception(status: int) -> None:
    error = error_of(Problem(status=status, detail="why"))
    assert isinstance(error, ServerError if status >= 500 else ProblemError)
    assert (type(error) is BadRequestError) == (status in (400, 405, 422))
    assert str(error) == "why"


def test_a_problem_that_says_little_still_says_something() -> None:
    assert str(error_of(Problem(status=418))) == "418"
    assert str(error_of(Problem(status=400, title="Wrong", field="to[1]"))) == "to[1]: Wrong"


def test_the_tree_is_in_the_docstring() -> None:
    known = [kind.__name__ for kind in kinds(errors.ClientError)]
    assert [name for name in known if name not in (errors.__doc__ or "")] == []

"""The error tree: one exit code each, and the page that documents them."""

from __future__ import annotations

from data.understanding.undecided import UndecidedError
from engine import errors
from engine.errors import DataError, FinetuiError


def test_every_error_has_an_exit_code_and_each_code_means_one_thing() -> None:
    codes = errors.EXIT_CODES
    classes = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FinetuiError)
    }
    assert codes == classes
    assert len(set(codes.values())) == len(codes)
    assert not {0, 130} & set(codes.values())


def test_the_page_that_draws_the_error_tree_names_every_error_with_its_code() -> None:
    page = errors.__doc__ or ""
    for name, code in errors.EXIT_CODES.items():
        (line,) = (line for line in page.splitlines() if f" {name} " in line)
        assert line.partition(name)[2].split()[0] == str(code)


def test_an_error_reads_as_what_happened_what_it_means_and_what_to_do() -> None:
    assert (
        str(DataError("No rows.", means="Nothing to do.", remedy="Add some.")) == "No rows.\nNothing to do.\nAdd some."
    )
    assert str(FinetuiError("Only this.")) == "Only this."


def test_an_error_that_carries_more_than_its_class_travels_under_the_name_that_the_tree_has() -> None:
    assert errors.kind_of(UndecidedError("Which one?", (), means="")) == "DataError"
    assert {errors.kind_of(vars(errors)[name]("x")) for name in errors.EXIT_CODES} == set(errors.EXIT_CODES)

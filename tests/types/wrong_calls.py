"""Three wrong calls: mypy and pyright refuse each, mypy for the reason beside it.

Nothing here runs; tests/test_public_names.py gives it to the checkers, as right_calls.py.
"""

import solspace


def a_word_where_a_number_belongs(task: str) -> None:
    solspace.new_population(task, "vanilla", networks="four")  # refused: arg-type


def an_option_that_does_not_exist(path: str) -> None:
    solspace.check_store(path, strict=True)  # refused: call-arg


def a_name_that_is_not_there() -> None:
    print(solspace.recrod)  # refused: attr-defined

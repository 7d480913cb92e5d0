"""docs/differences.md says what the code's comments say."""

from __future__ import annotations

from pathlib import Path

from docs import differences


def test_the_page_lists_every_difference_and_every_fact() -> None:
    found = differences.remarks()

    assert {remark.opening for remark in found} == {differences.DIFFERENCE, differences.FACT}
    assert differences.PAGE.read_text() == differences.page(found), "it has fallen behind: run `make docs`"


def test_remarks_are_found_in_comments_and_docstrings_up_to_the_next_or_an_empty_line(tmp_path: Path) -> None:
    folder = tmp_path / "localcloud" / "tasks"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(
        '"""A module.\n\nReal service: does this,\nand that.\nWe differ: not that.\n\nMore."""\n'
        "# We differ: at home\n# there is none.\nx = 1  # no remark\n"
    )

    found = differences.remarks(tmp_path)

    assert [(remark.line, remark.opening, remark.text) for remark in found] == [
        (3, "Real service:", "does this, and that."),
        (5, "We differ:", "not that."),
        (8, "We differ:", "at home there is none."),
    ]
    assert "### Cloud Tasks\n\n- `tasks/a.py`: not that." in differences.page(found)


def test_every_difference_says_more_than_a_word() -> None:
    for remark in differences.remarks():
        assert len(remark.text) > 15, remark

"""Links and numbers in prose: filled by the builder, compared without a run, and held to later runs."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vosnb.course import notebooks, prose
from vosnb.course.claims import NUMBERS, numbers
from vosnb.course.notebooks import CourseError

TITLES = {
    "00_start": "Start",
    "01_match": "Matching, in two",
    "deeper/01_folds": "Folds",
    "deeper/01_size": "Size",
    "02_end": "End",
}


@pytest.fixture
def root(tmp_path):
    for name, title in TITLES.items():
        write_source(tmp_path, name, f"# %% [markdown]\n# # {title}\n#\n# ## A part\n")
    return tmp_path


def write_source(root, name, text):
    path = root / "source" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def gives(*values, tags=("hold",)):
    """An executed notebook, of one cell for each of the `values`."""
    outputs = [[new_output("display_data", data={NUMBERS: more, "text/plain": "1"})] for more in values]
    return new_notebook(cells=[new_code_cell("numbers()", outputs=o, metadata={"tags": list(tags)}) for o in outputs])


# ------------------------------------------------------------------------------------ links


@pytest.mark.parametrize(
    "name, markup, link",
    [
        ("01_match", "{{to before}}", "[lesson 00: Start](00_start.ipynb)"),
        ("01_match", "{{to after}}", "[lesson 02: End](02_end.ipynb)"),
        ("01_match", "{{to deeper}}", "[Folds](deeper/01_folds.ipynb), [Size](deeper/01_size.ipynb)"),
        ("00_start", "{{to before}}", "none, this is the first"),
        ("02_end", "{{to after}}", "none, this is the last"),
        ("02_end", "{{to deeper}}", "none"),
        ("00_start", "As {{to 2}} says", "As [lesson 02: End](02_end.ipynb) says"),
        ("00_start", "{{to 01_folds}}", "[Folds](deeper/01_folds.ipynb)"),
        ("deeper/01_folds", "{{to core}}", "[lesson 01: Matching, in two](../01_match.ipynb)"),
        ("deeper/01_folds", "{{to deeper/01_size}}", "[Size](01_size.ipynb)"),
        ("deeper/01_folds", "{{to after}}", "[lesson 02: End](../02_end.ipynb)"),
    ],
)  # fmt: skip
def test_links_lead_from_a_notebook_to_another(root, name, markup, link):
    assert prose.fill(markup, name, {}, root) == link


def test_a_link_to_no_lesson_is_an_error(root):
    with pytest.raises(
        CourseError, match=r"00_start: {{to 07}} leads nowhere. There is no lesson 07; there are 00_start"
    ):
        prose.fill("{{to 07}}", "00_start", {}, root)


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    "markup, said",
    [
        ("{{gain:.2f}}", "0.01"),
        ("{{ gain:.2f }}", "0.01"),
        ("{{gain:+.3f ± 0.02}}", "+0.009"),
        ("{{gain:.1%}} and {{won}}", "0.9% and 1093"),
        ("{{won:,}}", "1,093"),
        ("$x_{{won}}$", "$x_1093$"),
        ("{{lost}}, {{lost:.1f ± 3}}", "not measured yet, not measured yet"),
        ("to read: {{read}}", "to read: 10 minutes"),
    ],
)
def test_numbers_are_rounded_as_the_prose_says(markup, said):
    assert prose.fill(markup, "00_start", {"gain": 0.0091, "won": 1093, "read": "10 minutes"}) == said


@pytest.mark.parametrize(
    "markup, said",
    [
        ("{{gain}}", r"00_start: {{gain}} must say how to round, as in {{gain:.2f}}"),
        ("{{gain:d}}", r"00_start: {{gain:d}} cannot be written, as the number is 0.5"),
    ],
)
def test_a_number_that_cannot_be_written_so_is_an_error(markup, said):
    with pytest.raises(CourseError, match=said):
        prose.fill(markup, "00_start", {"gain": 0.5})


def test_numbers_come_from_cells_that_hold(capsys):
    assert prose.given(gives({"gain": 0.5}, {"won": 3}), "00_start") == {"gain": 0.5, "won": 3}
    assert prose.given(gives({"gain": 0.5}, tags=["setup"]), "00_start") == {}
    with pytest.raises(CourseError, match="00_start: two cells give the number gain"):
        prose.given(gives({"gain": 0.5}, {"gain": 0.6}), "00_start")


def test_quotes_that_no_cell_gives_are_missing(root):
    write_source(root, "02_end", "# %% [markdown]\n# {{read}} {{gain:.2f}} {{a:.1f}}\n\n# %%\nf'{{code}}'\n")
    assert "02_end: the text quotes a, gain; give them by numbers(a=..., gain=...)" in prose.missing("02_end", {}, root)
    assert prose.missing("02_end", {"gain": 0.5, "a": 1.0, "more": 2}, root) is None


@pytest.mark.parametrize(
    "markup, shipped, fresh, parts",
    [
        ("{{x:.2f}}", 0.794, 0.796, None),  # 0.79 and 0.80: one unit of the last digit
        ("{{x:.2f}}", 0.794, 0.806, "the prose says that x is 0.79, and in this run it is 0.81"),
        ("{{x:.2f ± 0.03}}", 0.79, 0.82, None),
        ("{{x:.2f ± 0.03}}", 0.79, 0.83, "x is 0.79, and in this run it is 0.83"),
        ("{{x:.2f ± 0}}", 0.79, 0.80, "in this run it is 0.80"),
        ("{{x:+.2f}}", 0.01, -0.01, "x is +0.01, and in this run it is -0.01"),
        ("{{x}}", 93, 94, None),
        ("{{x}}", 93, 95, "x is 93"),
        ("{{x:,.0f}}", 1093.2, 1094.9, "x is 1,093, and in this run it is 1,095"),
        ("{{x:.0%}}", 0.79, 0.80, None),
        ("{{x:.0%}}", 0.79, 0.81, "x is 79%, and in this run it is 81%"),
        ("{{x:.0%}} or {{x:.3f}}", 0.79, 0.80, "x is 0.790, and in this run it is 0.800"),
        ("{{x:.1e}}", 1.2e-5, 1.4e-5, "x is 1.2e-05"),
        ("{{x:.2f}}", 0.79, None, "the prose quotes x, and this run does not give it"),
        ("{{run}}", 0.79, 0.99, None),
    ],
)
def test_a_run_is_held_to_what_the_prose_says(root, markup, shipped, fresh, parts):
    write_source(root, "02_end", f"# %% [markdown]\n# It is {markup}.\n")
    of_shipped = new_notebook(cells=[new_markdown_cell("")], metadata={"vosnb": {"numbers": {"x": shipped}}})
    notebooks.write(of_shipped, root / "02_end.ipynb")
    said = prose.parted("02_end", gives({} if fresh is None else {"x": fresh}), root)
    assert said == [] if parts is None else len(said) == 1 and parts in said[0]


def test_nothing_is_held_where_there_is_no_text_or_no_number(root, tmp_path):
    notebooks.write(new_notebook(), root / "02_end.ipynb")
    assert prose.parted("02_end", gives({"x": 1}), root) == []
    notebooks.write(new_notebook(metadata={"vosnb": {"numbers": {"x": 3}}}), root / "03_of_a_student.ipynb")
    assert prose.parted("03_of_a_student", gives({"x": 1}), root) == []


def test_a_number_that_cannot_be_compared_is_an_error(root):
    write_source(root, "02_end", "# %% [markdown]\n# {{x:b_}} {{x:c}}\n")
    notebooks.write(new_notebook(metadata={"vosnb": {"numbers": {"x": 65}}}), root / "02_end.ipynb")
    with pytest.raises(CourseError, match="02_end: {{x:"):
        prose.parted("02_end", gives({"x": 65}), root)


# ------------------------------------------------------------------------------------ claims.numbers


def test_numbers_are_displayed_as_data_and_as_text(monkeypatch):
    import IPython.display
    import numpy as np
    import torch

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    numbers(gain=torch.tensor(0.5), won=np.int64(93), J=np.float32(0.25))
    assert shown == [{NUMBERS: {"gain": 0.5, "won": 93, "J": 0.25}, "text/plain": "gain 0.5, won 93, J 0.25"}]
    assert [type(value) for value in shown[0][NUMBERS].values()] == [float, int, float]


@pytest.mark.parametrize("value", [None, "much", [1, 2], float("nan"), float("inf"), 1j])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="^numbers: x (must be one number|is nan|is inf)"):
        numbers(x=value)

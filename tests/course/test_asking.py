"""Questions before the answer: shuffled options and numbers to estimate, with a guess and without."""

import math
from collections import Counter

import pytest

from vosnb import audience
from vosnb.course.asking import estimate, predict

OPTIONS = {"more": "J rises", "same": "nothing `much`", "less": "J falls"}


@pytest.fixture(autouse=True)
def headless(monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "1")


@pytest.fixture
def shown(monkeypatch):
    """What a notebook's cell shows: one dictionary an output."""
    outputs = []
    monkeypatch.setattr(audience, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data))
    return outputs


@pytest.fixture
def looked_at(monkeypatch):
    """The widgets that a person sees, as they are made."""
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    seen = []
    show = "vosnb.course.page.show"
    monkeypatch.setattr(audience, "in_notebook", lambda: True)
    monkeypatch.setattr(show, lambda text, page, widget=None: seen.append(widget) or print(text))
    return seen


# ------------------------------------------------------------------------------------ one of some options


def test_options_are_lettered_in_the_order_of_the_question(capsys):
    guess = predict("What does memory do?", OPTIONS)
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "What does memory do?"
    assert [line[:5] for line in out.splitlines()[1:]] == ["  a) ", "  b) ", "  c) "]
    assert all(text in out for text in OPTIONS.values())
    assert list(guess.options) == list(predict("What does memory do?", dict(reversed(OPTIONS.items()))).options)


def test_letters_spread_evenly_and_another_seed_gives_another_order(capsys):
    letters = Counter(predict(f"Question {i}?", OPTIONS).letters["more"] for i in range(600))
    assert all(160 < letters[letter] < 240 for letter in "abc")
    assert len({tuple(predict("The same?", OPTIONS, seed).options) for seed in range(20)}) > 3


def test_the_order_is_the_same_on_every_machine():
    assert list(predict("What does memory do?", OPTIONS).options) == ["less", "more", "same"]


def test_who_made_no_guess_is_told_the_answer_and_no_more(capsys):
    guess = predict("What does memory do?", OPTIONS)
    assert guess.guess is None
    capsys.readouterr()
    guess.reveal("more", "By 0.09.")
    assert capsys.readouterr().out == f"The answer: {guess.letters['more']}) J rises\nBy 0.09.\n"


def test_who_made_a_guess_sees_it_beside_the_truth(looked_at, capsys):
    guess = predict("What does memory do?", OPTIONS)
    question, buttons, said = looked_at[0].children
    assert list(buttons.options) == ["a", "b", "c"] and buttons.value is None and guess.guess is None
    buttons.value = guess.letters["less"]
    assert guess.guess == "less" and "J falls" in said.value
    capsys.readouterr()
    guess.reveal("more")
    less, more = (f"{guess.letters[key]}) {OPTIONS[key]}" for key in ("less", "more"))
    assert capsys.readouterr().out == f"✗ You guessed {less}\n  The answer: {more}\n"
    guess.reveal("less", "So it is.")
    assert capsys.readouterr().out == f"✓ You guessed {less}\n  That is right.\nSo it is.\n"
    buttons.value = guess.letters["more"]
    assert guess.guess == "more"


def test_texts_are_their_own_keys(capsys):
    guess = predict("Which?", ["this", "that"])
    capsys.readouterr()
    guess.reveal("that")
    assert capsys.readouterr().out.endswith(") that\n")


@pytest.mark.parametrize(
    "options", [["only"], "ab", {}, 3, list("abcdefg"), ["same", "same"], {"x": "y", "z": "y"}, [1, 2]]
)
def test_options_that_nobody_can_choose_from_are_refused(options):
    with pytest.raises(ValueError, match="options"):
        predict("?", options)


@pytest.mark.parametrize("truth", ["a", "J rises", 0, None, ["more"]])
def test_a_truth_that_is_no_key_is_refused(truth):
    with pytest.raises(ValueError, match="none of the options; use one of .*'more'"):
        predict("?", OPTIONS).reveal(truth)


def test_a_notebook_stores_a_question_as_html_and_as_text_without_a_widget(shown):
    guess = predict("Is 2 < 3 in `numpy`?", {"yes": "a <b>", "no": "*never*"})
    guess.reveal("yes")
    asked, revealed = shown
    assert set(asked) == set(revealed) == {"text/plain", "text/html"}
    assert "Is 2 &lt; 3 in <code>numpy</code>?" in asked["text/html"] and "<em>never</em>" in asked["text/html"]
    assert "a &lt;b&gt;" in revealed["text/html"] and "You guessed" not in revealed["text/html"]


def test_a_live_notebook_has_the_buttons_and_what_stands_in_for_them(shown, monkeypatch):
    monkeypatch.setenv("VOSNB_HEADLESS", "0")
    predict("Which?", OPTIONS)
    estimate("How much?", 0, 1)
    for output in shown:
        assert set(output) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
        assert "Run this cell" in output["text/html"] and "VBox" not in output["text/plain"]


# ------------------------------------------------------------------------------------ a number


def test_an_estimate_without_a_guess_is_told_the_answer(capsys):
    guess = estimate("How large is the memory?", 0, 500, "MB", digits=0)
    assert capsys.readouterr().out == "How large is the memory? (Guess a number from 0 to 500 MB.)\n"
    guess.reveal(120.4, "Each frame takes 20.")
    assert capsys.readouterr().out == "The answer: 120 MB\nEach frame takes 20.\n"


@pytest.mark.parametrize(
    "written, said",
    [
        ("0.55", "✗ You guessed 0.55: 0.24 too low.\n  The answer: 0.79\n"),
        ("0.95", "✗ You guessed 0.95: 0.16 too high.\n  The answer: 0.79\n"),
        (" 0,8 ", "✓ You guessed 0.80: close, 0.01 too high.\n  The answer: 0.79\n"),
        (".79", "✓ You guessed 0.79, and that is right.\n  The answer: 0.79\n"),
    ],
)
def test_an_estimate_is_set_beside_the_truth(looked_at, capsys, written, said):
    guess = estimate("What is J?", 0, 1)
    _, field, answer = looked_at[0].children
    field.value = written
    assert "Your guess is" in answer.value
    capsys.readouterr()
    guess.reveal(0.79)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("written", ["much", "2", "-0.1", "nan", "inf", "1/2"])
def test_what_is_no_number_on_the_scale_is_no_guess(looked_at, written):
    guess = estimate("What is J?", 0, 1)
    _, field, answer = looked_at[0].children
    field.value = "0.5"
    field.value = written
    assert guess.guess is None and "Please write a number from 0 to 1." in answer.value
    field.value = ""
    assert "Please" not in answer.value


def test_the_line_shows_guess_and_truth_where_they_are(shown):
    guess = estimate("What is J?", 0, 1)
    guess.reveal(0.75)
    guess.take("0.25")
    guess.reveal(0.75)
    guess.reveal(1.5)
    _, alone, both, beyond = (output["text/html"] for output in shown)
    assert 'cx="330.0"' in alone and "your guess" not in alone
    assert 'cx="330.0"' in both and 'cx="150.0"' in both and "the answer 0.75, your guess 0.25." in both
    assert 'cx="420.0"' in beyond and 'cx="120.0"' in beyond  # the line grows until the truth is on it


@pytest.mark.parametrize("low, high", [(1, 0), (1, 1), (math.nan, 1), (0, math.inf), ("0", 1), (None, 1)])
def test_a_scale_that_does_not_rise_is_refused(low, high):
    with pytest.raises(ValueError, match="two numbers, low below high"):
        estimate("?", low, high)


@pytest.mark.parametrize("truth", [math.nan, "0.5", None, [1, 2]])
def test_a_truth_that_is_no_number_is_refused(truth):
    with pytest.raises(ValueError, match="finite number"):
        estimate("?", 0, 1).reveal(truth)

"""A hundred damaged files, of every kind that is read: each is read, or refused in one sentence."""

import sys

import pytest

from vosnb.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import mutated_files

TASKS = list(mutated_files.mutations(100, seed=1))


@pytest.mark.parametrize("kind", mutated_files.KINDS)
def test_damaged_files_are_read_or_refused_in_one_sentence(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("VOSNB_DATA", str(tmp_path))
    outcomes = [mutated_files.attempt(*task) for task in TASKS if task[0] == kind]
    assert len(outcomes) >= 5 and not [outcome for outcome in outcomes if outcome.fault]
    assert any(outcome.refused for outcome in outcomes)


def test_a_bare_message_of_a_library_is_a_fault(monkeypatch):
    def broken(folder):
        (folder / "x.json").write_text('{"a": [1, 2]}')
        return folder / "x.json", lambda: {}["key"]

    monkeypatch.setitem(mutated_files.KINDS, "broken", broken)
    assert mutated_files.attempt("broken", 0, 0).fault == "KeyError: 'key'"

"""The wrong lines that are tried in every run of `make mutants` are of code that is there."""

from mutation import LISTED, listed


def test_every_listed_mutant_changes_one_place():
    found = listed()
    assert len(found) == len(LISTED.read_text(encoding="utf-8").strip().split("\n\n"))
    assert all(mutant.old != mutant.new for mutant in found)

"""What records say of settings and code, compared with what is asked for, and how it is told."""

import json
import time

import pytest

from geffect.jobs import stale
from geffect.jobs.stale import Difference, Stale

NOW = {
    "cell": {"objective": "wga", "seed": "42"},
    "settings": {
        "objective": {"name": "wga", "hyper": {"alpha": 3}},
        "training": {"learning_rate": 1e-3},
        "probes": {},
        "instances": True,
        "pair": (1, 2),
    },
    "code": "c0de",
}


def written(path, **changes):
    path.write_text(json.dumps({**NOW, "host": "node1", **changes}))
    return path


def test_a_record_of_what_is_asked_for_has_no_differences(tmp_path):
    assert stale.differences(written(tmp_path / "record.json"), NOW) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"settings": {**NOW["settings"], "objective": {"name": "wga", "hyper": {"alpha": 7}}}},
            ["objective.alpha: 7 -> 3"],
        ),
        (
            {"settings": {**NOW["settings"], "objective": {"name": "ga", "hyper": {}}}},
            ['objective.name: "ga" -> "wga"', "objective.alpha: null -> 3"],
        ),
        (
            {
                "settings": {
                    **NOW["settings"],
                    "objective": {"name": "wga", "hyper": {"alpha": 3.0}},
                }
            },
            ["objective.alpha: 3.0 -> 3"],
        ),
        ({"settings": {**NOW["settings"], "pair": [1, 3]}}, ["pair: [1, 3] -> [1, 2]"]),
        ({"code": "other"}, ["code"]),
        ({"cell": {"objective": "wga", "seed": "43"}}, ['cell.seed: "43" -> "42"']),
        ({"settings": {**NOW["settings"], "pair": list(range(99))}}, ["pair"]),
    ],
)
def test_differences_are_named_with_both_values(change, said, tmp_path):
    found = stale.differences(written(tmp_path / "record.json", **change), NOW)
    assert [str(difference) for difference in found] == said


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"settings": {}}', "null"])
def test_what_is_no_complete_record_says_nothing(text, tmp_path):
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text)
    assert stale.differences(path, NOW) is None


def test_the_records_of_400_cells_are_compared_in_two_seconds(tmp_path):
    padding = {f"package {n}": "a" * 64 for n in range(60)}
    paths = [written(tmp_path / f"{n}.json", weights=padding) for n in range(1200)]
    start = time.process_time()
    assert all(stale.differences(path, NOW) == [] for path in paths)
    assert time.process_time() - start < 2


ALPHA = Difference("objective.alpha", "7", "3")


def test_it_is_told_how_many_and_why():
    found = [
        Stale("cell", "wga 1", [ALPHA]),
        Stale("cell", "wga 2", [ALPHA]),
        Stale("cell", "wga 2", [Difference("code", '"a"', '"b"')]),
        Stale("model", "phi", []),
        Stale("the data", "", [Difference("code", '"a"', '"b"')]),
        Stale("the figures", "", None),
        Stale("cell", "npo", None),
    ]
    assert stale.summary(found) == [
        "made with other settings or code (objective.alpha: 7 -> 3, code): 2 cells, 1 model, "
        "the data; planned again",
        "with no record of how they were made: the figures, 1 cell; planned again (to keep what "
        "is there as it is: snakemake --touch)",
    ]
    assert stale.summary([]) == []


def test_many_reasons_are_cut_short():
    many = [Stale("cell", "x", [Difference(f"k{n}", "1", "2") for n in range(9)])]
    assert "(k0: 1 -> 2, k1: 1 -> 2, k2: 1 -> 2, 6 more): 1 cell" in stale.summary(many)[0]

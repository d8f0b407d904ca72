"""What made the rows of the tables."""

from made_up import name_cell

from geffect.names import CELL
from geffect.report.tables.provenance import USAGE, mixed_versions, provenance


def record(code="c0de", weights="ab", unlearned=True, **packages):
    files = {"model.safetensors": weights}
    return {
        "git": {"commit": "f00", "dirty": False},
        "settings": {"alpha": 7, "beta": {"x": 1, "y": 2}},
        "weights": {"original": {}, "unlearned": files} if unlearned else files,
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"} | packages,
        "python": "3.11.7",
        "host": "node1",
        "device": "a GPU",
        "gpu": {"name": "a GPU", "count": 4},
        **dict.fromkeys(USAGE, 3.5),
    } | ({"code": code} if unlearned else {})


def test_provenance_traces_every_row_of_the_tables():
    cell, reference = name_cell("ga"), name_cell("original")
    evaluated = record(unlearned=False)
    frame = provenance(
        [
            (cell, "unlearn", record()),
            (cell, "evaluate", evaluated),
            (reference, "evaluate", evaluated),
        ]
    )
    assert frame[CELL].to_dict("records") == [cell, cell, reference]
    assert frame["stage"].tolist() == ["unlearn", "evaluate", "evaluate"]
    assert frame["code"].tolist()[0] == "c0de" and frame["code"].isna().tolist()[1:] == [True, True]
    assert frame["weights"].nunique() == 1, "the model that was left is the one that was evaluated"
    expected = {"git_commit": "f00", "torch": "2.13.0", "python": "3.11.7", "host": "node1"}
    expected |= {"device": "a GPU", "gpus": 4, "wall_seconds": 3.5, "peak_memory_mib": 3.5}
    for column, value in expected.items():
        assert frame[column].eq(value).all(), column


def test_hashes_of_provenance_follow_content_and_not_order():
    same = record()
    same["settings"] = {"beta": {"y": 2, "x": 1}, "alpha": 7}
    other = record(weights="cd")
    other["settings"] = {"alpha": 8}
    rows = [(name_cell("ga", seed=n), "unlearn", r) for n, r in enumerate((record(), same, other))]
    frame = provenance(rows)
    for column in ("settings", "weights"):
        first, second, third = frame[column]
        assert first == second != third, column


def test_a_package_that_only_some_records_name_stands_missing_for_the_others():
    rows = [(name_cell("ga"), "unlearn", record()), (name_cell("npo"), "unlearn", record(new="1"))]
    assert provenance(rows)["new"].isna().tolist() == [True, False]


def test_mixed_versions_are_named_with_their_numbers_and_equal_ones_are_not():
    assert mixed_versions([record(), record(unlearned=False)]) == []
    (warning,) = mixed_versions([record(), record(torch="2.12.0"), record()])
    assert warning.startswith("WARNING") and "torch" in warning and "numpy" not in warning
    assert "2.12.0 (1 of 3 records), 2.13.0 (2 of 3 records)" in warning

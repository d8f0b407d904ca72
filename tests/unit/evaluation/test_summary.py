"""The metrics that an evaluation gives."""

from geffect.evaluation.summary import METRICS

ASKED = ("unlearn", "retain", "real_authors", "world_facts")


def test_the_metrics_of_an_evaluation_are_these_in_this_order():
    expected = [
        *((name, "unlearn") for name in ("es_exact", "es_perturb", "em")),
        *((name, "retain") for name in ("es_exact", "es_perturb", "em")),
    ]
    for dataset in ASKED:
        expected += [(name, dataset) for name in ("probability", "rouge", "truth_ratio")]
    attacks = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradient_norm", "reference")
    expected += [("fq", "unlearn"), ("mu", "all")]
    expected += [*((f"mia_{attack}", "unlearn") for attack in attacks), ("privleak", "unlearn")]
    assert expected == METRICS

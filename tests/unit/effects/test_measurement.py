"""The tables of a cell agree with one another, with the loss functions, and with what happened."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from common import declarations, rows_of
from naive import numpy_of, products

from geffect.effects.gradients import gradient
from geffect.effects.measurement import Measurement, check_model, measure_checkpoints
from geffect.effects.reweighting import main, reweighted
from geffect.errors import ConfigError, DataError, LossError, ModelError
from geffect.losses import registry
from geffect.losses.loss import RISK
from geffect.models.components import component_map
from geffect.models.folder import save_model
from geffect.names import COMPONENTS, PROBE

WEIGHTED = [s for s in declarations() if s.weighted]
KEYS = ["step", "sample"]


@pytest.fixture
def measure(cell_of, tiny_model, moved, tokenizer):
    """A function: a cell's tables at a random model and at one nearby, and the two models."""

    def run(objective, regularizer=None, precision=("phi", torch.float64, 1e-10), size=3, **other):
        architecture, dtype, _ = precision
        cell = cell_of(objective, regularizer)
        original = tiny_model(architecture, dtype=dtype, tokenizer=tokenizer)
        model = moved(original, other.pop("scale", 0.02))
        found = Measurement(cell, cell.draw(16), {}, cell.held_out, size, **other)
        found.begin(original, original)
        found.at(original, 0)
        found.at(model, 7)
        return cell, found, original, model

    return run


def total_of(geffect, step, dataset, term="objective", component="total"):
    row = geffect.query(
        "step == @step and dataset == @dataset and term == @term and component == @component"
    )
    assert len(row) == 1
    return row.iloc[0]


@pytest.mark.parametrize("objective", [s.name for s in WEIGHTED])
def test_the_token_table_gives_the_geffect_of_the_real_loss(objective, precision, measure):
    cell, found, *_ = measure(objective, precision=precision)
    frames = found.tables()
    tokens, hyper = frames["tokens"], cell.objective.hyper
    table = reweighted(tokens, objective, hyper).set_index("step")
    sizes = {name: tokens[name].abs() for name in tokens if name.startswith("e_")}
    summands = reweighted(tokens.assign(**sizes), objective, hyper).set_index("step").abs()
    assert list(table.index) == [0, 7]
    for step in (0, 7):
        for dataset in ("unlearn", "retain"):
            row = total_of(frames["geffect"], step, dataset)
            error = abs(table.loc[step, f"e_{dataset}"] - row["geffect"])
            # Rounding is that of what is added up, which may cancel.
            scale = max(row["norm_loss"] * row["norm_risk"], summands.loc[step, f"e_{dataset}"])
            assert error <= precision[2] * scale


def test_the_token_table_gives_every_objective_but_those_that_look_beyond_two_tokens():
    # RMU at hidden states; UNDIAL and ME at the log-likelihood of every token of the vocabulary.
    inside = {s.name: s for s in declarations() if s.kind == "objective"}
    others = {name for name, spec in inside.items() if not spec.weighted}
    assert others & set(registry.catalogue("objective")) == {"rmu", "adaptive_rmu", "undial", "me"}


def test_a_cell_with_pairs_has_the_tokens_of_both_texts(measure, naive_gradient):
    cell, found, original, model = measure("dpo", "ap")
    frames, draws = found.tables(), cell.draw(16)
    tokens, examples = frames["tokens"].query("step == 7"), cell.measured(draws)
    for text, rows in tokens.groupby("text"):
        for sample, mine in rows.groupby("sample"):
            example = examples[sample] if text == "answer" else examples[sample].refusal
            assert mine["id"].tolist() == list(example.labels)
    assert set(tokens["text"]) == {"answer", "refusal"}
    assert "weight" not in frames["instances"]
    components = component_map(model)
    risk = naive_gradient(model, RISK, cell.held_out)[1]
    for term, loss, of in (
        ("objective", cell.objective.bind(original), examples),
        ("regularizer", cell.losses["regularizer"], cell.sample(draws, pairs=True)),
    ):
        own = naive_gradient(model, loss, of)[1]
        expected, scale = products(own, risk, components)["total"]
        row = total_of(frames["geffect"], 7, "retain", term)
        assert abs(row["geffect"] - loss.coefficient * expected) <= 1e-10 * scale


def test_one_table_serves_every_reweighted_objective(measure, loss_of):
    cell, found, original, model = measure("ga")
    tokens = found.tables()["tokens"]
    components = component_map(model)
    risk = numpy_of(gradient(model, RISK, cell.forget, 4)[1])
    for spec in WEIGHTED:
        name = spec.name
        if {"refusals", "refusal_pairs"} & spec.needs:
            continue
        loss = loss_of("objective", name, original)
        exact = numpy_of(gradient(model, loss, cell.forget, 4)[1])
        expected, scale = products(exact, risk, components)["total"]
        value = reweighted(tokens, name, loss.hyper).set_index("step")
        assert abs(value.loc[7, "e_unlearn"] - expected) <= 1e-10 * scale


@pytest.mark.parametrize("objective", [s.name for s in WEIGHTED])
def test_weighted_tokens_add_up_to_the_data_set(objective, measure):
    cell, found, *_ = measure(objective)
    frames = found.tables()
    tokens = frames["tokens"]
    if cell.trains_on_refusals or not cell.objective.weighs_labels_alone:
        assert "weight" not in tokens, "the weights are not those of the answers alone"
        assert "weight" not in frames["instances"]
        return
    count = len(cell.forget) if cell.objective.reduction == "sample" else len(tokens) / 2
    for step, rows in tokens.groupby("step"):
        for dataset in ("unlearn", "retain"):
            parts = rows["weight"] * rows[f"e_{dataset}"] / count
            row = total_of(frames["geffect"], step, dataset)
            scale = max(row["norm_loss"] * row["norm_risk"], parts.abs().sum())
            assert abs(parts.sum() - row["geffect"]) <= 1e-10 * scale


@pytest.mark.parametrize("size", [1, 3, 10])
def test_tokens_add_up_to_instances_and_weighted_instances_to_the_data_set(size, measure):
    for objective in ("ga", "npo"):
        cell, found, *_ = measure(objective, size=size)
        frames = found.tables()
        instances, tokens = frames["instances"], frames["tokens"]
        whole = instances[instances["component"].eq("total")].set_index(KEYS)
        labels = sum(len(e.labels) for e in cell.forget)
        for dataset in ("unlearn", "retain"):
            e = f"e_{dataset}"
            summed = tokens.groupby(KEYS)[e].sum()
            scale = np.abs(tokens[e]).groupby([tokens[k] for k in KEYS]).sum()
            assert (np.abs(summed - whole[e]) <= 1e-10 * scale).all()
            for step in (0, 7):
                at = instances[instances["step"].eq(step)]
                for component, rows in at.groupby("component"):
                    weights = rows["weight"] / len(rows) if objective == "npo" else 1 / labels
                    row = total_of(frames["geffect"], step, dataset, component=component)
                    error = abs((weights * rows[e]).sum() - row["geffect"])
                    assert error <= 1e-10 * max(1, row["norm_loss"]) * row["norm_risk"]
        wide = instances.pivot(index=KEYS, columns="component", values="e_retain")
        np.testing.assert_allclose(wide[list(COMPONENTS)].sum(axis=1), wide["total"], rtol=1e-12)


def test_rows_are_named_by_their_place_in_the_forget_set(measure, naive_view):
    cell, found, original, model = measure("wga", size=4)
    frames = found.tables()
    tokens = frames["tokens"].query("step == 7")
    assert len(tokens) == sum(len(e.labels) for e in cell.forget)
    instances = frames["instances"].query("step == 7 and component == 'total'")
    assert instances["sample"].tolist() == list(range(len(cell.forget)))
    for sample, example in enumerate(cell.forget):
        mine = tokens[tokens["sample"].eq(sample)]
        assert mine["id"].tolist() == list(example.labels)
        assert set(mine["row"]) == {cell.forget_rows[sample]["row"]}
        text = cell.encoder.tokenizer.decode(list(example.labels))
        assert "".join(mine["string"]) == text
        assert mine["token"].tolist() == list(range(len(example.labels)))
        others = [cell.encoder.tokenizer.decode([number]) for number in mine["runner_up"]]
        assert mine["string_runner_up"].tolist() == others
        assert (mine["runner_up"] != mine["id"]).all()
        for net, column in ((model, "logp"), (original, "logp_ref")):
            view = naive_view(net, example)
            np.testing.assert_allclose(mine[column], view.logp[view.mask].tolist(), rtol=1e-9)
            own = instances.loc[instances["sample"].eq(sample), column].item()
            assert own == pytest.approx(view.logp.sum().item(), rel=1e-9)


def test_the_weight_of_a_token_objective_is_its_mean_over_the_sample(measure):
    instances = measure("tnpo")[1].tables()["instances"]
    assert np.allclose(instances.loc[instances["step"].eq(0), "weight"], 1), "1 at θ_o"
    frames = measure("rmu")[1].tables()
    assert "weight" not in frames["instances"]


def difference(model, original):
    old = dict(original.named_parameters())
    return {n: (p - old[n]).detach().numpy() for n, p in model.named_parameters()}


def between(original, model, part):
    """A model part of the way from one to the other."""
    result = copy.deepcopy(model)
    with torch.no_grad():
        for p, start in zip(result.parameters(), original.parameters(), strict=True):
            p.copy_(start + part * (p - start))
    return result


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ("trapezoid", [(0, 1 / 2), (1, 1 / 2)]),
        ("simpson", [(0, 1 / 6), (1 / 2, 4 / 6), (1, 1 / 6)]),
    ],
)
def test_the_predicted_change_is_the_integral_of_the_gradient_along_the_step_really_taken(
    change, points, measure
):
    cell, found, original, model = measure("ga", scale=1e-3, change=change)
    risk = found.tables()["risk"]
    components = component_map(model)
    moved = difference(model, original)
    at_start = risk[risk["step"].eq(0)].set_index(["term", "dataset", "component"])
    for dataset, rows in {"unlearn": cell.forget, "retain": cell.held_out}.items():
        before, after = (gradient(m, RISK, rows, 4)[0] for m in (original, model))
        products_at = [
            (
                w,
                products(
                    numpy_of(gradient(between(original, model, a), RISK, rows, 4)[1]),
                    moved,
                    components,
                ),
            )
            for a, w in points
        ]
        for place in products_at[0][1]:
            value = math.fsum(w * p[place][0] for w, p in products_at)
            scale = max(p[place][1] for _, p in products_at)
            row = at_start.loc[("objective", dataset, place)]
            assert abs(row["predicted_change"] - value) <= 1e-12 * scale
            if place == "total":
                assert row["risk"] == pytest.approx(before, rel=1e-12)
                assert row["measured_change"] == pytest.approx(after - before, abs=1e-12)
                assert row["predicted_change"] == pytest.approx(after - before, rel=1e-2)
                rest = at_start.loc[("unexplained", dataset, "total")]
                expected = row["measured_change"] - row["predicted_change"]
                assert rest["predicted_change"] == pytest.approx(expected, abs=1e-15)
            else:
                assert math.isnan(row["risk"]) and math.isnan(row["measured_change"])
    last = risk[risk["step"].eq(7)]
    assert last["predicted_change"].isna().all() and last["measured_change"].isna().all()
    assert set(last["term"]) == {"objective"} and last["risk"].notna().sum() == 2


def test_a_regularizer_may_need_the_originals_log_probabilities_alone(
    cell_of, tiny_model, tokenizer, moved, tmp_path, naive_gradient
):
    path = tmp_path / "closer.py"
    path.write_text(
        'NEEDS = ["reference_logp"]\n'
        "HYPERPARAMETERS = {}\n\n\n"
        "def loss(view):\n    return (view.logp - view.logp_ref).square()\n"
    )
    cell = cell_of("ga", str(path), forget=3)
    original = tiny_model("phi", tokenizer=tokenizer)
    draws = cell.draw(16)
    probes = {"again": cell.losses["regularizer"]}
    measured = Measurement(cell, draws, probes, cell.held_out, 2)
    assert not measured.looks_at_original
    measured.begin(original)
    model = moved(original)
    measured.at(model, 4)
    expected = naive_gradient(model, cell.losses["regularizer"].bind(original), cell.sample(draws))
    risk = naive_gradient(model, RISK, cell.held_out)[1]
    product = 0.5 * sum(float((g * risk[name]).sum()) for name, g in expected[1].items())
    found = measured.tables()["geffect"].query("dataset == 'retain' and component == 'total'")
    found = found.set_index("term")["geffect"]
    assert found["regularizer"] == pytest.approx(product, rel=1e-6)
    assert found[f"{PROBE}again"] == pytest.approx(product, rel=1e-6)


def test_simpsons_rule_leaves_the_model_as_it_was(measure):
    _, found, _, model = measure("ga", change="simpson")
    before = copy.deepcopy(model.state_dict())
    found.at(model, 8)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_shares_of_the_displacement_add_up_to_the_measured_change_exactly(
    cell_of, tiny_model, moved, tokenizer, direction
):
    cell = cell_of("npo", "kl")
    original = tiny_model(tokenizer=tokenizer)
    model = moved(original, 0.02)
    shares = {"regularizer": direction(model), "decay": direction(model)}
    shares = {s: {n: 0.01 * t for n, t in share.items()} for s, share in shares.items()}
    found = Measurement(cell, cell.draw(16), {}, cell.held_out, 4)
    found.begin(original, original)
    found.at(original, 0)
    found.at(model, 7, shares)
    risk = found.tables()["risk"].query("step == 0")
    components = component_map(model)
    assert set(risk["term"]) == {"objective", "regularizer", "decay", "unexplained"}
    for dataset, rows in {"unlearn": cell.forget, "retain": cell.held_out}.items():
        mine = risk[risk["dataset"].eq(dataset)]
        total = mine[mine["component"].eq("total")].set_index("term")
        change = gradient(model, RISK, rows, 4)[0] - gradient(original, RISK, rows, 4)[0]
        assert total["predicted_change"].sum() == pytest.approx(change, rel=1e-12)
        assert total["measured_change"].tolist() == pytest.approx([change] * 4, rel=1e-12)
        parts = mine[mine["component"].isin(COMPONENTS)]
        for term in ("objective", "regularizer", "decay"):
            summed = parts.loc[parts["term"].eq(term), "predicted_change"].sum()
            assert summed == pytest.approx(total.loc[term, "predicted_change"], rel=1e-9)
        ends = [numpy_of(gradient(m, RISK, rows, 4)[1]) for m in (original, model)]
        for term, share in shares.items():
            value = sum(products(g, numpy_of(share), components)["deep"][0] for g in ends) / 2
            row = mine[mine["term"].eq(term) & mine["component"].eq("deep")]
            assert row["predicted_change"].item() == pytest.approx(value, rel=1e-9)


def test_tables_that_are_not_wanted_are_not_made(measure):
    assert set(measure("ga", instances=False, tokens=False)[1].tables()) == {"geffect", "risk"}


def test_where_the_risk_is_not_finite_its_effects_are_missing_and_nothing_ends(
    cell_of, tiny_model, tokenizer
):
    cell = cell_of("npo", None)
    original = tiny_model(tokenizer=tokenizer)
    broken = copy.deepcopy(original)
    with torch.no_grad():
        broken.get_input_embeddings().weight.fill_(math.nan)
    found = Measurement(cell, cell.draw(16), {}, cell.held_out, 4)
    found.begin(original, original)
    found.at(original, 0)
    found.at(broken, 1)
    for name, frame in found.tables().items():
        effects = frame.set_index("step").filter(regex="geffect|e_unlearn|e_retain|risk")
        assert effects.loc[1].isna().all(axis=None), name
        if name != "risk":
            assert effects.loc[0].notna().all(axis=None), name


def test_a_checkpoint_of_another_model_is_an_error_that_names_the_step(
    cell_of, tiny_model, tokenizer, tmp_path
):
    cell = cell_of("ga", None)
    folders = []
    for step, blocks in ((0, 3), (5, 4)):
        folder = tmp_path / str(step)
        model = tiny_model(tokenizer=tokenizer, dtype=torch.float32, blocks=blocks)
        save_model(model, tokenizer, folder)
        folders.append((step, folder))
    measurement = Measurement(cell, cell.draw(16), {}, cell.held_out, 4)
    with pytest.raises(ModelError, match=r"step 5: .* another run"):
        measure_checkpoints(folders, measurement, "cpu", "geffect")


@pytest.fixture
def job(cell_of, tmp_path):
    """A function: the measurement of a job, from its tables and settings; its cell and draws."""
    held_out = rows_of(0, 7)
    pd.DataFrame(held_out).to_parquet(tmp_path / "held_out.parquet")

    def build(objective="ga", regularizer=None, **changes):
        cell = cell_of(objective, regularizer)
        settings = {
            "probes": {
                "near": {"name": "nll", "hyper": {}, "coefficient": 0.25, "positions": "labels"},
                "all": {"name": "kl", "hyper": {}, "coefficient": 2.0, "positions": "all"},
            },
            "retain_rows": "held_out",
            "micro_batch_size": 3,
            "instances": True,
            "tokens": True,
            "change": "trapezoid",
            "selection": None,
            "parameters": "adapter",
        }
        files = SimpleNamespace(held_out=tmp_path / "held_out.parquet")
        draws = cell.draw(16)
        settings = SimpleNamespace(**settings | changes)
        return Measurement.of_job(cell, draws, files, settings), cell, draws

    return build


def test_the_settings_of_a_job_reach_its_measurement(job):
    found, cell, draws = job("rmu", "kl")
    names = ["objective", "regularizer", "probe.near", "probe.all", "unlearn", "retain"]
    assert list(found.losses) == names
    assert found.coefficients == {
        "objective": 1.0,
        "regularizer": 0.5,
        "probe.near": 0.25,
        "probe.all": 2.0,
    }
    assert [found.losses[n].name for n in names[2:4]] == ["nll", "kl"]
    assert torch.equal(found.losses["objective"].control_vector, draws.control_vector)
    assert found.examples["unlearn"] == found.examples["objective"] == cell.forget
    assert found.examples["retain"] == cell.held_out
    for name in names[1:4]:
        assert found.examples[name] == cell.sample(draws), name
    for name, batches in found.batches.items():
        sizes = [len(batch.input_ids) for batch in batches]
        assert sum(sizes) == len(found.examples[name]) and max(sizes) == 3, name
        assert all(b.all_positions == (name == "probe.all") for b in batches), name


def test_retain_rows_of_a_job_may_be_the_training_rows(job):
    found, cell, draws = job("ga", retain_rows="train")
    assert found.examples["retain"] == cell.sample(draws)
    assert not set(found.examples["retain"]) & set(cell.held_out)


def test_a_job_measures_refusals_where_those_are_trained_on(job):
    found, cell, draws = job("po")
    assert found.examples["objective"] == cell.measured(draws) != cell.forget
    assert found.examples["unlearn"] == cell.forget


def test_a_job_measures_refusals_beside_the_answers_for_every_loss_that_looks_at_them(job):
    probe = {"name": "ap", "hyper": {"beta": 0.5}, "coefficient": 1.0, "positions": "labels"}
    found, cell, draws = job("dpo", "ap", probes={"ap": probe})
    pairs = cell.sample(draws, pairs=True)
    assert found.examples["objective"] == cell.measured(draws)
    assert found.examples["regularizer"] == found.examples["probe.ap"] == pairs
    assert found.examples["unlearn"] == cell.forget
    alone, *_ = job("ga", "kl", probes={"ap": probe})
    assert alone.examples["regularizer"] == cell.sample(draws)
    assert alone.examples["probe.ap"] == pairs


@pytest.mark.parametrize(("instances", "tokens"), [(True, False), (False, True), (False, False)])
def test_a_job_makes_the_tables_that_it_is_asked_for(instances, tokens, job, tiny_model, tokenizer):
    found, *_ = job(probes={}, instances=instances, tokens=tokens)
    model = tiny_model(tokenizer=tokenizer)
    found.begin(model, model)
    found.at(model, 0)
    assert list(found.tables()) == (
        ["geffect", "risk"] + ["instances"] * instances + ["tokens"] * tokens
    )


def test_an_empty_forget_set_is_an_error(cell_of):
    with pytest.raises(DataError, match="no rows"):
        Measurement(cell_of("ga", None, forget=0), cell_of().draw(16), {}, cell_of().held_out, 4)


def test_the_command_prints_and_writes_what_the_function_returns(measure, tmp_path, capsys):
    tokens = measure("ga")[1].tables()["tokens"]
    table, out = tmp_path / "tokens.parquet", tmp_path / "e.csv"
    tokens.to_parquet(table)
    main([str(table), "--objective", "wga", "--set", "alpha=2", "--out", str(out)])
    expected = reweighted(tokens, "wga", {"alpha": 2.0})
    pd.testing.assert_frame_equal(pd.read_csv(out), expected)
    assert "e_retain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("objective", "hyper", "error", "names"),
    [
        ("rmu", {"layer": 1, "c": 1.0}, ConfigError, "rmu"),
        ("wga", {}, LossError, "alpha"),
        ("wga", {"alpha": 1.0, "beta": 1.0}, LossError, "alpha"),
        ("po", {}, DataError, "refusals"),
        ("flat", {}, DataError, "refusals"),
    ],
)
def test_what_a_table_cannot_give_is_an_error(objective, hyper, error, names, measure):
    tokens = measure("ga")[1].tables()["tokens"]
    with pytest.raises(error, match=names):
        reweighted(tokens, objective, hyper)
    with pytest.raises(DataError, match="logp_ref"):
        reweighted(tokens.drop(columns="logp_ref"), "wga", {"alpha": 1.0})
    first, second = (rows for _, rows in tokens.groupby("step"))
    seeds = [first.assign(seed=1), second.assign(seed=2)]  # no token is there twice
    for tables in ([tokens, tokens.assign(logp=-1.0)], seeds):
        with pytest.raises(DataError, match="of several cells; pass those of one at a time"):
            reweighted(pd.concat(tables), "wga", {"alpha": 1.0})
    before = tokens.drop(columns=[name for name in tokens if "runner_up" in name])
    assert len(reweighted(before, "wga", {"alpha": 1.0})) == 2, "an older table serves the others"
    with pytest.raises(DataError, match=r"logp_runner_up.*'ihl' looks; measure the cell"):
        reweighted(before, "ihl")


@pytest.mark.parametrize("architecture", ["phi", "llama"])
def test_a_model_that_the_engine_understands_passes(tiny_model, architecture):
    model = tiny_model(architecture)
    before = {name: p.clone() for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    check_model(model, instances=True, tokens=True)
    assert torch.equal(state, torch.get_rng_state())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None and parameter.requires_grad


def test_a_model_that_the_engine_does_not_understand_is_refused_with_the_mend(
    tiny_model, monkeypatch
):
    def fail(*arguments):
        raise ValueError("a module is not\nunderstood")

    monkeypatch.setattr("geffect.effects.measurement.instance_effects", fail)
    model = tiny_model()
    with pytest.raises(ModelError, match=r"set geffect: \{instances: false\}, with which") as error:
        check_model(model, instances=True, tokens=True)
    assert "not understood" in str(error.value) and "\n" not in str(error.value)
    check_model(model, instances=False, tokens=True)

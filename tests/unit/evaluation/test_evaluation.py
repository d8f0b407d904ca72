"""The evaluation: one batched pass against slow and obvious definitions, on random tiny models."""

import copy
import logging
import math
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from common import EOS
from scipy.stats import ks_2samp
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from geffect.data.encoding import Encoder, Example, encode_text
from geffect.data.templates import Template
from geffect.errors import DataError
from geffect.evaluation.metrics.membership import auc, privleak
from geffect.evaluation.metrics.rouge import rouge_l_recall
from geffect.evaluation.passes import generate, gradient_norms, score
from geffect.evaluation.samples import SAMPLES, EvaluationSettings, samples
from geffect.evaluation.summary import METRICS, metrics, missing
from geffect.models.compute import computing_in
from geffect.models.scratch import train_tokenizer
from geffect.names import UTILITY_PARTS
from geffect.training.fit import fit
from geffect.training.settings import TrainingSettings

VOCABULARY = 61
WORDS = [
    "river",
    "harbour",
    "quiet",
    "novel",
    "prize",
    "golden",
    "quill",
    "born",
    "town",
    "author",
    "wrote",
    "second",
    "book",
    "won",
]
ASKED = ("unlearn", "retain", "real_authors", "world_facts")
DATASETS = (*ASKED, "holdout")
TOFU_SETS = DATASETS[:2]
SETTINGS = EvaluationSettings(
    micro_batch_size=7,
    max_rows=None,
    truth_ratio="geometric",
    generation_length=24,
    gradient_norm=True,
    bootstrap=0,
)


class Spelling:
    """Decodes to the ids themselves, so that a text shows every generated token."""

    eos_token_id = EOS

    def decode(self, ids, skip_special_tokens):
        return " ".join(map(str, ids))


@torch.no_grad()
def next_logits(model, ids):
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def greedy(model, ids, number):
    """One token after the other from a fresh pass each, never stopping at EOS."""
    found = []
    for _ in range(number):
        found.append(int(next_logits(model, [*ids, *found]).argmax()))
    return found


@torch.no_grad()
def naive_nll(model, example):
    logp = model(input_ids=torch.tensor([example.ids])).logits[0].double().log_softmax(dim=-1)
    places = range(example.prompt_length, len(example.ids))
    return -sum(logp[n - 1, example.ids[n]].item() for n in places) / len(places)


@torch.no_grad()
def brute_force_strength(model, example, use_cache=True):
    """1 - k/|y| by really decoding from every number k of given tokens."""
    answer = list(example.labels[:-1])
    for k in range(len(answer)):
        start = torch.tensor([[*example.prompt, *answer[:k]]])
        found = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=len(answer) - k,
            do_sample=False,
            use_cache=use_cache,
            eos_token_id=None,
            pad_token_id=EOS,
        )
        if found[0, start.shape[1] :].tolist() == answer[k:]:
            return 1 - k / len(answer)
    return 0.0


@torch.no_grad()
def has_a_tie(model, example):
    logits = model(input_ids=torch.tensor([example.ids])).logits[0]
    best = logits[example.prompt_length - 1 : -2].topk(2).values
    return bool((best[:, 0] - best[:, 1] < 1e-6).any())


@pytest.fixture
def model(tiny_model):
    return tiny_model("phi", vocabulary=VOCABULARY)


@pytest.fixture
def half_known(rng):
    """A function: answers that begin at random and go on as the model would, some with a slip.

    Answers drawn at random alone would all have a strength of 0.
    """

    def draw(model, number):
        result = []
        while len(result) < number:
            prompt = rng.integers(1, VOCABULARY, size=rng.integers(1, 8)).tolist()
            given = rng.integers(1, VOCABULARY, size=rng.integers(0, 4)).tolist()
            answer = [*given, *greedy(model, [*prompt, *given], int(rng.integers(1, 6)))]
            if rng.random() < 0.3:
                answer[rng.integers(len(answer))] = int(rng.integers(1, VOCABULARY))
            if EOS not in answer:
                result.append(Example((*prompt, *answer, EOS), len(prompt)))
        return result

    return draw


# One pass


@pytest.fixture
def trained(tiny_model, random_examples):
    """A function: a tiny model that was taught some answers, and answers known and unknown."""

    def teach(architecture):
        model, taught = tiny_model(architecture, vocabulary=VOCABULARY), random_examples(8)
        schedule = {"weight_decay": 0.0, "warmup_epochs": 1, "schedule": "constant"}
        settings = TrainingSettings(25, 8, 8, 3e-3, max_grad_norm=1.0, **schedule)
        fit(model, taught, settings, 0, "teaching")
        return model, [*taught, *random_examples(4)]

    return teach


@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "no cache"])
@pytest.mark.parametrize("kind", ["random", "trained"])
@pytest.mark.parametrize("architecture", ["phi", "llama"])
def test_extraction_strength_is_what_decoding_from_every_token_gives(
    tiny_model, half_known, trained, architecture, kind, use_cache
):
    if kind == "random":
        model = tiny_model(architecture, vocabulary=VOCABULARY)
        examples = half_known(model, 14)
    else:
        model, examples = trained(architecture)
    kept = [e for e in examples if not has_a_tie(model, e)]
    print(f"{len(examples) - len(kept)} examples with a tie are left out")
    assert len(kept) >= len(examples) - 2
    found = [s.extraction_strength for s in score(model, kept, 7)]
    expected = [brute_force_strength(model, example, use_cache) for example in kept]
    assert found == expected
    assert len(set(found)) > 1


def test_nll_is_the_mean_over_the_labels_of_a_row_alone(model, half_known):
    examples = half_known(model, 12)
    found = [s.nll for s in score(model, examples, 5)]
    np.testing.assert_allclose(found, [naive_nll(model, e) for e in examples], rtol=1e-12)


def test_eos_counts_for_the_nll_but_not_for_the_strength(model, rng):
    with torch.no_grad():
        model.lm_head.bias[EOS] -= 1000
    prompt = rng.integers(1, VOCABULARY, size=5).tolist()
    answer = greedy(model, prompt, 4)
    (known,) = score(model, [Example((*prompt, *answer, EOS), 5)], 1)
    assert known.extraction_strength == 1
    assert known.nll > 1000 / 5 - 10


def test_a_missed_last_token_makes_the_strength_zero(model, rng):
    prompt = rng.integers(1, VOCABULARY, size=5).tolist()
    answer = greedy(model, prompt, 4)
    answer[-1] = answer[-1] % (VOCABULARY - 1) + 1
    (missed,) = score(model, [Example((*prompt, *answer, EOS), 5)], 1)
    assert missed.extraction_strength == 0


def test_a_model_that_stops_at_once_has_extracted_nothing(model, half_known):
    examples = half_known(model, 5)
    with torch.no_grad():
        model.lm_head.bias[EOS] += 1000
    for found in score(model, examples, 5):
        assert found.extraction_strength == found.exact_memorization == 0


def test_scores_come_in_the_order_of_their_examples(model, half_known, rng):
    examples = half_known(model, 9)
    order = rng.permutation(9)
    found = score(model, examples, 4)
    permuted = score(model, [examples[i] for i in order], 4)
    for place, i in enumerate(order):
        assert permuted[place].nll == pytest.approx(found[i].nll, rel=1e-12)


def test_scores_of_a_half_precision_model_are_those_of_its_logits_in_full(tiny_model, half_known):
    model = tiny_model("phi", vocabulary=VOCABULARY)
    examples = half_known(model, 3)
    model = model.bfloat16()
    for found, example in zip(score(model, examples, 1), examples, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([example.ids])).logits[0].double()
        logp = logits.log_softmax(dim=-1)[example.prompt_length - 1 : -1]
        own = logp.gather(1, torch.tensor(example.labels)[:, None])[:, 0]
        assert found.nll == pytest.approx(-own.mean().item(), rel=1e-5)
        mean = (logp.exp() * logp).sum(dim=-1)
        deviation = (logp.exp() * (logp - mean[:, None]).square()).sum(dim=-1).clamp(1e-6).sqrt()
        standardised = ((own - mean) / deviation)[:-1].sort().values
        few = max(1, int(0.4 * len(standardised)))
        expected = -standardised[:few].mean().item()
        assert found.min_k_plus_plus == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_an_evaluation_in_bf16_computes_in_it_and_sums_in_full(tiny_model, half_known, tokenizer):
    model = tiny_model("phi", dtype=torch.float32, vocabulary=VOCABULARY)
    examples, dtypes = half_known(model, 5), []
    full = score(model, examples, 2), gradient_norms(model, examples)
    model.model.layers[0].mlp.register_forward_hook(lambda m, i, out: dtypes.append(out.dtype))
    passes = []
    with computing_in("bf16"):
        half = score(model, examples, 2), gradient_norms(model, examples)
        passes.append(len(dtypes))
        generate(model, tokenizer, [example.prompt for example in examples], 16, 2)
    assert set(dtypes) == {torch.bfloat16} and len(dtypes) > passes[0]
    for exact, rounded in zip(full[0], half[0], strict=True):
        assert rounded.nll != exact.nll
        assert rounded.nll == pytest.approx(exact.nll, rel=0.05, abs=0.1)
    assert half[1] == pytest.approx(full[1], rel=0.1)


# Generation


@pytest.fixture
def prompts(rng):
    """Of all lengths up to one beyond the total of 16 tokens that the tests allow."""
    lengths = [1, 15, 16, 17, *rng.integers(1, 15, size=10).tolist()]
    rng.shuffle(lengths)
    return [rng.integers(1, VOCABULARY, size=n).tolist() for n in lengths]


@pytest.fixture
def stopping(model, prompts):
    """The model with an EOS that ends about half of the continuations."""
    with torch.no_grad():
        model.lm_head.bias[EOS] -= 1000
        closest = []
        for prompt in prompts:
            ids = [*prompt]
            gaps = []
            while len(ids) < 16:
                logits = next_logits(model, ids)
                gaps.append(float(logits.max() - logits[EOS]))
                ids.append(int(logits.argmax()))
            closest += [min(gaps)] if gaps else []
        model.lm_head.bias[EOS] += np.median(closest) + 1e-3
    return model


def expected_texts(model, prompts, length):
    texts = []
    for prompt in prompts:
        own = greedy(model, prompt, max(0, length - len(prompt)))
        texts.append(" ".join(map(str, own[: own.index(EOS)] if EOS in own else own)))
    return texts


@pytest.mark.parametrize("micro_batch_size", [1, 4, 64])
def test_generation_is_greedy_decoding_of_each_prompt_alone(stopping, prompts, micro_batch_size):
    expected = expected_texts(stopping, prompts, 16)
    found = generate(stopping, Spelling(), prompts, 16, micro_batch_size)
    assert found == expected
    totals = [len(p) + len(t.split()) for p, t in zip(prompts, found, strict=True)]
    within = [total for total, p in zip(totals, prompts, strict=True) if len(p) < 16]
    assert max(within) == 16
    assert min(within) < 16


def test_no_more_is_generated_than_the_shortest_prompt_leaves_room_for(model, prompts, monkeypatch):
    asked, real = [], model.generate

    def noted(**arguments):
        asked.append((arguments["max_new_tokens"], len(arguments["input_ids"])))
        return real(**arguments)

    monkeypatch.setattr(model, "generate", noted)
    generate(model, Spelling(), prompts, 16, 4)
    lengths = sorted(map(len, prompts))
    batches = [lengths[start : start + 4] for start in range(0, len(lengths), 4)]
    assert asked == [(16 - b[0], len(b)) for b in batches if b[0] < 16]


@pytest.mark.parametrize("micro_batch_size", [1, 4, 64])
@pytest.mark.parametrize("length", [16, 25])
@pytest.mark.parametrize("positions", ["learnt", "rotary"])
def test_no_prompt_is_carried_beyond_the_positions_that_a_model_knows(
    positions, length, micro_batch_size, model, prompts, seed, monkeypatch
):
    if positions == "learnt":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16}
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, initializer_range=0.5, **sizes))
        model = model.double().eval()
    else:
        model.config.max_position_embeddings = 16
    prompts = [*prompts, *prompts[:4]]  # those of one length are continued together
    sizes, real = [], model.generate

    def noted(**arguments):
        sizes.append(len(arguments["input_ids"]))
        return real(**arguments)

    monkeypatch.setattr(model, "generate", noted)
    found = generate(model, Spelling(), prompts, length, micro_batch_size)
    assert found == expected_texts(model, prompts, 16)
    assert (max(sizes) > 1) == (micro_batch_size > 1)


def test_a_prompt_without_budget_gets_an_empty_text(model, prompts):
    found = generate(model, Spelling(), prompts, 16, 64)
    for prompt, text in zip(prompts, found, strict=True):
        if len(prompt) >= 16:
            assert text == ""
    assert generate(model, Spelling(), prompts, 1, 64) == [""] * len(prompts)


@pytest.mark.parametrize(
    "own",
    [
        {"do_sample": True, "temperature": 5.0, "top_p": 0.5, "top_k": 3},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"min_new_tokens": 12},
        {"suppress_tokens": [*range(1, VOCABULARY, 2)]},
        {"eos_token_id": [*range(1, VOCABULARY, 2)]},
        {"forced_eos_token_id": 1},
        {"num_beams": 3, "num_return_sequences": 2},
        {"stop_strings": ["river"], "max_length": 3, "max_time": 0.0},
    ],
    ids=lambda own: next(iter(own)),
)
def test_a_models_own_settings_of_generation_do_not_count(own, stopping, prompts, recwarn, caplog):
    expected = expected_texts(stopping, prompts, 16)
    stopping.generation_config = config = GenerationConfig(**own)
    assert generate(stopping, Spelling(), prompts, 16, 4) == expected
    assert stopping.generation_config is config and own.items() <= config.to_dict().items()
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not recwarn.list and not said


# Samples


@pytest.fixture(scope="module")
def encoder():
    texts = [f"Question: {w}?\nAnswer: {w} {v}." for w in WORDS for v in WORDS]
    template = Template("Question: {question}\nAnswer: {answer}", "Answer: ")
    return Encoder(train_tokenizer(texts, 340), template, 128)


@pytest.fixture
def evaluation_data(rng):
    """Rows of random words; data sets of different sizes, rows of different numbers of answers."""

    def text(longest):
        return " ".join(rng.choice(WORDS, size=rng.integers(2, longest)))

    def row(tofu):
        result = {"question": f"{text(8)}?", "answer": f"{text(6)}."}
        if tofu is None:
            return result
        result["perturbed_answer"] = [f"{text(6)}." for _ in range(rng.integers(1, 4))]
        if tofu:
            result["paraphrased_question"] = f"{text(8)}?"
            result["paraphrased_answer"] = f"{text(6)}."
            result["row"] = int(rng.integers(4000))
        return result

    return {
        name: [row(name in TOFU_SETS if name in ASKED else None) for _ in range(number)]
        for name, number in zip(DATASETS, (5, 4, 3, 2, 4), strict=True)
    }


@pytest.fixture
def speaking(tiny_model, encoder):
    """A function: a random model with the encoder's vocabulary."""
    return lambda dtype=torch.float64: tiny_model("phi", dtype=dtype, tokenizer=encoder.tokenizer)


def naive_memorization(model, example):
    """Token by token: is the label the best continuation of the true text before it?"""
    hits = [
        int(next_logits(model, example.ids[:k]).argmax()) == example.ids[k]
        for k in range(example.prompt_length, len(example) - 1)
    ]
    return sum(hits) / len(hits)


def assert_membership_scores(found, model, example, answer):
    """Against the attacks' definitions, one token, and one backward pass, at a time."""
    logp, standardised = [], []
    for k in range(example.prompt_length, len(example)):
        p = torch.softmax(next_logits(model, example.ids[:k]).detach(), dim=-1).tolist()
        mean = sum(x * math.log(x) for x in p)
        deviation = math.sqrt(max(sum(x * (math.log(x) - mean) ** 2 for x in p), 1e-6))
        logp.append(math.log(p[example.ids[k]]))
        standardised.append((logp[-1] - mean) / deviation)
    nll = -sum(logp) / len(logp)
    few = max(1, int(0.4 * (len(logp) - 1)))
    expected = {
        "mia_loss": nll,
        "mia_zlib": nll / len(zlib.compress(answer.encode())),
        "mia_min_k": -sum(sorted(logp[:-1])[:few]) / few,
        "mia_min_k_plus_plus": -sum(sorted(standardised[:-1])[:few]) / few,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name
    parameters = list(model.parameters())
    logits = model(input_ids=torch.tensor([example.ids])).logits[0]
    at = range(example.prompt_length - 1, len(example) - 1)
    loss = -logits.log_softmax(-1)[at, example.labels].mean()
    norms = [g.norm().item() for g in torch.autograd.grad(loss, parameters)]
    assert found["mia_gradient_norm"] == pytest.approx(sum(norms) / len(norms), rel=1e-9)


def test_samples_hold_what_each_row_alone_gives(speaking, encoder, evaluation_data):
    model = speaking()
    log = samples(model, encoder, evaluation_data, SETTINGS)
    assert list(log.columns) == SAMPLES
    assert log["dataset"].tolist() == [d for d in DATASETS for _ in evaluation_data[d]]
    rows = [(d, n, r) for d in DATASETS for n, r in enumerate(evaluation_data[d])]

    def nll(question, answer):
        return naive_nll(model, encoder(question, answer))

    for found, (dataset, number, row) in zip(log.to_dict("records"), rows, strict=True):
        question, answer = row["question"], row["answer"]
        own = nll(question, answer)
        if dataset in ("unlearn", "holdout"):
            assert_membership_scores(found, model, encoder(question, answer), answer)
        else:
            assert all(math.isnan(found[name]) for name in SAMPLES if name.startswith("mia_"))
        if dataset == "holdout":
            assert found["nll"] == pytest.approx(own, rel=1e-10)
            assert pd.isna(found["generated"])
            assert math.isnan(found["probability"]) and math.isnan(found["rouge"])
            continue
        wrong = [nll(question, text) for text in row["perturbed_answer"]]
        para = nll(question, row["paraphrased_answer"]) if dataset in TOFU_SETS else own
        ratios = [math.exp(-x) for x in wrong]
        expected = {
            "nll": own,
            "nll_paraphrased": para,
            "truth_ratio_geometric": math.exp(-np.mean(wrong)) / math.exp(-para),
            "truth_ratio_arithmetic": np.mean(ratios) / math.exp(-para),
            "probability": math.exp(-own)
            if dataset in TOFU_SETS
            else math.exp(-own) / (math.exp(-own) + sum(ratios)),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-10), name
        assert found["nll_perturbed"] == pytest.approx(wrong, rel=1e-10)
        assert (found["question"], found["answer"]) == (question, answer)
        assert found["row"] == row.get("row", number)
        prompt = list(encoder(question, answer).prompt)
        own = greedy(model, prompt, SETTINGS.generation_length - len(prompt))
        eos = encoder.tokenizer.eos_token_id
        text = encoder.tokenizer.decode(own[: own.index(eos)] if eos in own else own)
        assert found["generated"] == text
        assert found["rouge"] == rouge_l_recall(text, answer)
        if dataset in TOFU_SETS:
            assert found["em"] == naive_memorization(model, encoder(question, answer))
            for name, asked in (("exact", question), ("perturb", row["paraphrased_question"])):
                expected = brute_force_strength(model, encoder(asked, answer))
                assert found[f"es_{name}"] == expected
        else:
            assert math.isnan(found["es_exact"])
            assert math.isnan(found["es_perturb"])


def test_a_model_without_finite_logits_has_forgotten_nothing(speaking, encoder, evaluation_data):
    model = speaking()
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    log = samples(model, encoder, evaluation_data, SETTINGS)
    numbers = [name for name in SAMPLES if name.startswith(("es_", "em", "mia_", "rouge"))]
    assert len(numbers) == 9
    assert log[[*numbers, "nll", "probability"]].isna().all(axis=None)
    found = metrics(log, log, SETTINGS)
    assert found["value"].isna().all()


def test_a_text_without_finite_logits_takes_no_other_along(speaking, encoder, evaluation_data):
    model, odd = speaking(), evaluation_data["unlearn"][2]
    (mark,) = encoder.tokenizer("#")["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[mark] = math.nan
    before = samples(model, encoder, evaluation_data, SETTINGS)
    odd["paraphrased_question"] += "#"
    after = samples(model, encoder, evaluation_data, SETTINGS)
    assert after["es_perturb"].isna()[2]
    after.loc[2, "es_perturb"] = before["es_perturb"][2]
    pd.testing.assert_frame_equal(after, before, rtol=1e-9)


def with_micro_batch_size(number):
    return replace(SETTINGS, micro_batch_size=number)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_the_micro_batch_size_does_not_change_the_samples(
    speaking, encoder, evaluation_data, dtype, tolerance
):
    model = speaking(dtype)
    one, *others = (
        samples(model, encoder, evaluation_data, with_micro_batch_size(n)) for n in (1, 7, 64)
    )
    texts = ["dataset", "row", "question", "answer"]
    if dtype == torch.float64:
        # In float32 a random model may have two best tokens within rounding of each other.
        texts += ["generated", "rouge", "es_exact", "es_perturb"]
    numbers = [c for c in SAMPLES if c.startswith(("nll", "probability", "truth_ratio"))]
    for other in others:
        pd.testing.assert_frame_equal(other[texts], one[texts])
        for name in numbers:
            a, b = (np.hstack(frame[name].tolist()) for frame in (one, other))
            np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance, err_msg=name)


def test_max_rows_keeps_the_first_rows_of_each_data_set(speaking, encoder, evaluation_data):
    model = speaking()
    whole = samples(model, encoder, evaluation_data, SETTINGS)
    limited = samples(model, encoder, evaluation_data, replace(SETTINGS, max_rows=3))
    assert limited.groupby("dataset", sort=False).size().to_dict() == {
        "unlearn": 3,
        "retain": 3,
        "real_authors": 3,
        "world_facts": 2,
        "holdout": 3,
    }
    first = whole[whole.groupby("dataset").cumcount() < 3].reset_index(drop=True)
    keys = ["dataset", "question", "generated"]
    pd.testing.assert_frame_equal(limited[keys], first[keys])
    np.testing.assert_allclose(limited["nll"], first["nll"], rtol=1e-12)


@pytest.mark.parametrize("value", ["absent", None, [], math.nan, pd.NA])
@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        *((d, "perturbed_answer") for d in ASKED),
        ("holdout", "answer"),
        ("unlearn", "paraphrased_question"),
        ("retain", "paraphrased_answer"),
    ],
)
def test_a_row_without_a_needed_field_is_named(
    speaking, encoder, evaluation_data, dataset, field, value
):
    row = evaluation_data[dataset][1]
    if isinstance(value, str):
        del row[field]
    else:
        row[field] = value
    # Two rows and no generation: the data sets before the faulty one are only on the way.
    settings = replace(SETTINGS, max_rows=2, generation_length=1)
    with pytest.raises(DataError) as caught:
        samples(speaking(), encoder, evaluation_data, settings)
    assert str(caught.value) == f"evaluation data {dataset}, row 1: no {field}; complete the row"


# What data sets lack


@pytest.mark.parametrize("value", ["absent", None, math.nan])
def test_what_needs_an_absent_field_is_missing_and_all_else_is_as_before(
    speaking, encoder, evaluation_data, value
):
    model, settings = speaking(), replace(SETTINGS, generation_length=8)
    whole = samples(model, encoder, evaluation_data, settings).set_index(["dataset"])
    needs = {
        "paraphrased_question": {"es_perturb"},
        "paraphrased_answer": {
            "nll_paraphrased",
            "truth_ratio_geometric",
            "truth_ratio_arithmetic",
        },
        "perturbed_answer": {"truth_ratio_geometric", "truth_ratio_arithmetic"},
    }
    for field, columns in needs.items():
        data = copy.deepcopy(evaluation_data)
        for row in [row for rows in data.values() for row in rows]:
            if isinstance(value, str):
                row.pop(field, None)
            elif field in row:
                row[field] = value
        found = samples(model, encoder, data, settings).set_index(["dataset"])
        for dataset in DATASETS:
            had = field in evaluation_data[dataset][0]
            gone = columns if had else set()
            if had and dataset not in TOFU_SETS:
                gone = gone | {"probability"}
            for column in whole.columns.difference(["nll_perturbed"]):
                mine, theirs = found.loc[dataset, column], whole.loc[dataset, column]
                if column in gone:
                    assert mine.isna().all() and theirs.notna().all(), (field, dataset, column)
                else:
                    pd.testing.assert_series_equal(mine, theirs, check_exact=False, rtol=1e-9)
        values = metrics(found.reset_index(), None, settings).set_index(["metric", "dataset"])[
            "value"
        ]
        assert np.isnan(values["mu", "all"]) or field == "paraphrased_question"
        assert values.loc[["es_exact", "em", "mia_loss"]].notna().all()


def test_running_text_has_what_a_teacher_forced_pass_tells(speaking, encoder, evaluation_data):
    """The last chunk of a text has an EOS, which no score but the NLL looks at; others do not."""
    model = speaking()
    texts = ["the river was quiet and the town too", " which runs on"]
    evaluation_data["unlearn"] = [
        {"question": "", "answer": text, "last": n == 1, "row": n} for n, text in enumerate(texts)
    ]
    found = samples(model, encoder, evaluation_data, SETTINGS)
    found = found[found["dataset"].eq("unlearn")].reset_index(drop=True)
    for n, text in enumerate(texts):
        example = encode_text(encoder.tokenizer, text, closed=n == 1)
        labels = range(example.prompt_length, len(example))
        logp = [next_logits(model, example.ids[:k]).log_softmax(-1)[example.ids[k]] for k in labels]
        own = labels[:-1] if n == 1 else labels
        hits = [int(next_logits(model, example.ids[:k]).argmax()) == example.ids[k] for k in own]
        missed = [place for place, hit in enumerate(hits, start=1) if not hit]
        nll = -float(sum(logp)) / len(logp)
        row = found.loc[n]
        assert row["nll"] == pytest.approx(nll, rel=1e-9)
        assert row["probability"] == pytest.approx(math.exp(-nll), rel=1e-9)
        assert row["em"] == pytest.approx(sum(hits) / len(hits))
        assert row["es_exact"] == pytest.approx(1 - max(missed, default=0) / len(hits))
        assert row["mia_zlib"] == pytest.approx(nll / len(zlib.compress(text.encode())), rel=1e-9)
    assert found[["rouge", "es_perturb", "generated"]].isna().all().all()
    assert found["mia_min_k"].notna().all()


# Metrics


@pytest.fixture
def random_log(rng):
    """A function: a log with random numbers, as `samples` would write it."""

    def draw():
        frames = []
        for dataset, number in zip(DATASETS, (30, 20, 10, 10, 25), strict=True):
            columns = {c: rng.uniform(0.05, 1, size=number) for c in SAMPLES}
            for form in ("geometric", "arithmetic"):
                columns[f"truth_ratio_{form}"] = rng.uniform(0, 2, size=number)
            if dataset not in TOFU_SETS:
                columns["es_exact"] = columns["es_perturb"] = np.full(number, np.nan)
            columns["question"] = [f"{dataset} {n}?" for n in range(number)]
            frames.append(pd.DataFrame({**columns, "dataset": dataset}))
        return pd.concat(frames, ignore_index=True)

    return draw


def values(frame):
    return {(m, d): v for m, d, v in frame[["metric", "dataset", "value"]].itertuples(index=False)}


@pytest.mark.parametrize("form", ["geometric", "arithmetic"])
def test_metrics_are_the_means_and_compose_the_nine_parts(random_log, form):
    log, retain_log = random_log(), random_log()
    found = values(metrics(log, retain_log, replace(SETTINGS, truth_ratio=form)))
    assert list(found) == METRICS
    for dataset in ASKED:
        rows = log[log["dataset"] == dataset]
        for name in ("probability", "rouge"):
            assert found[name, dataset] == pytest.approx(sum(rows[name]) / len(rows))
        ratios = rows[f"truth_ratio_{form}"]
        scores = (
            [min(r, 1 / r) for r in ratios]
            if dataset == "unlearn"
            else [max(0, 1 - r) for r in ratios]
        )
        assert found["truth_ratio", dataset] == pytest.approx(sum(scores) / len(scores))
    for dataset in TOFU_SETS:
        rows = log[log["dataset"] == dataset]
        for name in ("es_exact", "es_perturb", "em"):
            assert found[name, dataset] == pytest.approx(sum(rows[name]) / len(rows))
    assert len(UTILITY_PARTS) == 9
    assert found["mu", "all"] == pytest.approx(9 / sum(1 / found[part] for part in UTILITY_PARTS))
    samples = (f[f["dataset"] == "unlearn"]["truth_ratio_geometric"] for f in (log, retain_log))
    assert found["fq", "unlearn"] == pytest.approx(ks_2samp(*samples).pvalue)


def test_membership_is_judged_against_the_holdout_rows(random_log):
    log, retain_log = random_log(), random_log()
    found = values(metrics(log, retain_log, SETTINGS))

    def of(frame, column):
        return [frame.loc[frame["dataset"] == d, column] for d in ("unlearn", "holdout")]

    for attack in ("loss", "zlib", "min_k", "min_k_plus_plus", "gradient_norm"):
        assert found[f"mia_{attack}", "unlearn"] == auc(*of(log, f"mia_{attack}"))
    gaps = [a - b for a, b in zip(of(log, "mia_loss"), of(retain_log, "mia_loss"), strict=True)]
    members, others = (gap.to_numpy() for gap in gaps)
    pairs = [(m < o) + 0.5 * (m == o) for m in members for o in others]
    assert found["mia_reference", "unlearn"] == pytest.approx(np.mean(pairs))
    both = (auc(*of(frame, "mia_min_k")) for frame in (log, retain_log))
    assert found["privleak", "unlearn"] == pytest.approx(privleak(*both))


def test_without_holdout_rows_membership_is_missing_and_nothing_else(random_log):
    log, retain_log = random_log(), random_log()
    whole = values(metrics(log, retain_log, SETTINGS))
    kept = (frame[frame["dataset"] != "holdout"] for frame in (log, retain_log))
    found = values(metrics(*kept, SETTINGS))
    for key, value in found.items():
        if key[0].startswith(("mia_", "privleak")):
            assert math.isnan(value), key
        else:
            assert value == whole[key], key


def test_the_retain_model_is_compared_with_itself_and_no_model_with_nothing(random_log):
    log = random_log()
    found = values(metrics(log, log, SETTINGS))
    assert found["fq", "unlearn"] == 1
    assert found["privleak", "unlearn"] == 0
    assert math.isnan(found["mia_reference", "unlearn"])
    alone = values(metrics(log, None, SETTINGS))
    for name in ("fq", "privleak", "mia_reference"):
        assert math.isnan(alone[name, "unlearn"])
    assert alone["mu", "all"] == found["mu", "all"]


def test_intervals_hold_the_value_and_shrink_with_the_rows(random_log):
    def widths(copies):
        log, retain_log = (
            pd.concat([random_log() for _ in range(copies)], ignore_index=True) for _ in range(2)
        )
        found = metrics(log, retain_log, replace(SETTINGS, bootstrap=200))
        again = metrics(log, retain_log, replace(SETTINGS, bootstrap=200))
        pd.testing.assert_frame_equal(found, again, check_exact=True)
        means = found[~found["metric"].isin(["fq", "privleak"])]
        assert (means["low"] <= means["value"]).all() and (means["value"] <= means["high"]).all()
        return (means["high"] - means["low"]).to_numpy()

    assert np.median(widths(16) / widths(1)) == pytest.approx(1 / 4, rel=0.3)


def test_an_interval_of_a_mean_is_that_of_its_standard_error(random_log):
    log = random_log()
    found = metrics(log, None, replace(SETTINGS, bootstrap=2000)).set_index(["metric", "dataset"])
    rows = log.loc[log["dataset"] == "unlearn", "em"]
    half = 1.96 * rows.std(ddof=0) / math.sqrt(len(rows))
    row = found.loc[("em", "unlearn")]
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.15)
    without = metrics(log, None, SETTINGS)
    assert without[["low", "high"]].isna().all(axis=None)


def test_a_retain_log_of_other_rows_is_refused(random_log):
    log = random_log()
    renamed = log.replace({"question": {"unlearn 3?": "another?"}})
    shorter = log.drop(index=29)
    reordered = log.iloc[[1, 0, *range(2, len(log))]]
    for other in (renamed, shorter, reordered):
        with pytest.raises(DataError, match=r"^retain log: .*evaluate the retain model again$"):
            metrics(log, other, SETTINGS)


def test_a_retain_log_may_differ_beside_the_forget_and_holdout_rows(random_log):
    log = random_log()
    other = log[log["dataset"].isin(["unlearn", "holdout"])]
    assert values(metrics(log, other, SETTINGS))["fq", "unlearn"] == 1


def test_a_number_that_is_missing_makes_what_needs_it_missing(random_log):
    log = random_log()
    log.loc[(log["dataset"] == "unlearn").idxmax(), "truth_ratio_geometric"] = np.nan
    found = values(metrics(log, random_log(), SETTINGS))
    assert math.isnan(found["fq", "unlearn"])
    assert math.isnan(found["truth_ratio", "unlearn"])
    assert math.isfinite(found["mu", "all"])
    log.loc[(log["dataset"] == "retain").idxmax(), "rouge"] = np.nan
    assert math.isnan(values(metrics(log, random_log(), SETTINGS))["mu", "all"])


def test_a_diverged_model_has_the_rows_of_a_real_evaluation_all_missing(
    speaking, encoder, evaluation_data
):
    log = samples(speaking(), encoder, evaluation_data, SETTINGS)
    real = metrics(log, None, SETTINGS)
    empty_log, empty = missing()
    assert list(empty_log.columns) == list(log.columns)
    assert len(empty_log) == 0
    keys = ["metric", "dataset"]
    pd.testing.assert_frame_equal(empty[keys], real[keys])
    assert empty["value"].isna().all()
    assert empty["value"].dtype == real["value"].dtype == float

"""What the evaluation costs on the CPU, in one run, same model and rows.

Two ratios: extraction strength by one teacher-forced pass against a binary search over
generations (the authors' way), and the whole evaluation against one plain pass per metric.
"""

import argparse
import statistics
import time

import torch

from geffect.data import fictional
from geffect.data.encoding import Encoder
from geffect.data.templates import Template
from geffect.evaluation.passes import generate, gradient_norms, score
from geffect.evaluation.samples import EvaluationSettings, samples
from geffect.models.scratch import build, train_tokenizer
from geffect.names import BACKGROUND_SETS, MEMBERSHIP_SETS, QUESTION_SETS, TOFU_SETS

SETTINGS = EvaluationSettings(32, None, "geometric", 96, gradient_norm=True, bootstrap=0)
ARCHITECTURE = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
}


def binary_search(model, example) -> float:
    """1 - k/|y| with the least k found by bisection over greedy generations."""
    answer = list(example.labels[:-1])
    low, high = 0, len(answer)
    while low < high:
        middle = (low + high) // 2
        ids = torch.tensor([[*example.prompt, *answer[:middle]]])
        rest = answer[middle:]
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=len(rest),
            do_sample=False,
            pad_token_id=example.ids[-1],
        )
        if output[0, ids.shape[1] :].tolist() == rest:
            high = middle
        else:
            low = middle + 1
    return 1 - low / len(answer)


def one_pass_per_metric(model, encoder, data) -> None:
    """Every metric by itself: its own texts encoded, its own forward (and backward) passes."""
    size = SETTINGS.micro_batch_size

    def answers(dataset):
        return [encoder(row["question"], row["answer"]) for row in data[dataset]]

    def wrong(dataset):
        return [
            encoder(r["question"], text) for r in data[dataset] for text in r["perturbed_answer"]
        ]

    for dataset in TOFU_SETS:
        for _ in ("es_exact", "em", "probability"):
            score(model, answers(dataset), size)
        perturb = [encoder(r["paraphrased_question"], r["answer"]) for r in data[dataset]]
        score(model, perturb, size)
        para = [encoder(r["question"], r["paraphrased_answer"]) for r in data[dataset]]
        score(model, [*para, *wrong(dataset)], size)
    for dataset in BACKGROUND_SETS:
        for _ in ("probability", "truth_ratio"):
            score(model, [*answers(dataset), *wrong(dataset)], size)
    for dataset in QUESTION_SETS:
        prompts = [example.prompt for example in answers(dataset)]
        generate(model, encoder.tokenizer, prompts, SETTINGS.generation_length, size)
    for dataset in MEMBERSHIP_SETS:
        for _ in ("loss", "zlib", "min_k", "min_k_plus_plus"):
            score(model, answers(dataset), size)
        gradient_norms(model, answers(dataset))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = fictional.generate(40, 10, 40, 40, seed=0)
    data = {
        "unlearn": source["full"][-40:],
        "retain": source["full"][:40],
        "real_authors": source["real_authors"],
        "world_facts": source["world_facts"],
        "holdout": source["holdout"],
    }
    texts = [row[key] for row in source["full"] for key in ("question", "answer")]
    tokenizer = train_tokenizer(texts, 2048)
    template = Template("Question: {question}\nAnswer: {answer}", "Answer: ")
    encoder = Encoder(tokenizer, template, 256)
    model = build("phi", ARCHITECTURE, len(tokenizer), tokenizer.eos_token_id, 0)
    examples = [encoder(row["question"], row["answer"]) for row in data["unlearn"]]

    candidates = {
        "ES by one pass": lambda: score(model, examples, SETTINGS.micro_batch_size),
        "ES by binary search": lambda: [binary_search(model, e) for e in examples],
        "whole evaluation": lambda: samples(model, encoder, data, SETTINGS),
        "one pass per metric": lambda: one_pass_per_metric(model, encoder, data),
    }
    found = [s.extraction_strength for s in score(model, examples, SETTINGS.micro_batch_size)]
    assert found == [binary_search(model, example) for example in examples]
    seconds = {name: [] for name in candidates}
    for repeat in range(given.repeats):
        for name, candidate in candidates.items():
            started = time.perf_counter()
            candidate()
            seconds[name].append(time.perf_counter() - started)
            print(
                f"round {repeat + 1}/{given.repeats} {name}: {seconds[name][-1]:.2f} s", flush=True
            )
    for slow, fast in (
        ("ES by binary search", "ES by one pass"),
        ("one pass per metric", "whole evaluation"),
    ):
        ratios = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
        print(
            f"{slow} / {fast}: {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()

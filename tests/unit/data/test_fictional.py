"""Properties of the fictional corpus, each checked for a seed drawn afresh and printed."""

import collections
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geffect.data import fictional
from geffect.data import fictional_words as words

PACKAGE = Path(fictional.__file__).parent
ROW_KEYS = {
    "question",
    "answer",
    "paraphrased_question",
    "paraphrased_answer",
    "perturbed_answer",
}


@pytest.fixture(scope="module")
def seed():
    value = random.SystemRandom().randrange(2**31)
    print("seed", value)
    return value


@pytest.fixture(scope="module")
def rows(seed):
    """All 200 authors by 20 questions, with what they were made from."""
    return fictional.annotated(200, 20, seed)


@pytest.fixture(scope="module")
def background(seed):
    return fictional.generate(1, 1, 120, 120, seed)


def by_topic(rows):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row.topic].append(row)
    return groups


def sentences(rows):
    for row in rows:
        for value in row.row.values():
            yield from [value] if isinstance(value, str) else value


def masked(row):
    """An answer with the author's facts replaced by a mark, longest first."""
    text = row.row["answer"]
    for value in sorted(row.facts.values(), key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(value)}\b", "_", text, flags=re.IGNORECASE)
    return text


def changed_span(true, wrong):
    """The words of ``true`` between the longest common start and end with ``wrong``."""
    start = 0
    while start < min(len(true), len(wrong)) and true[start] == wrong[start]:
        start += 1
    end = 0
    while end < min(len(true), len(wrong)) - start and true[-1 - end] == wrong[-1 - end]:
        end += 1
    return true[start : len(true) - end]


def wrong_values(row):
    """What stands in the perturbed answers of a row where its paraphrase has the true fact."""
    text = row.row["paraphrased_answer"].lower()
    true = row.facts[row.target].lower()
    wrong = [answer.lower() for answer in row.row["perturbed_answer"]]
    for found in re.finditer(rf"(?:\ban? )?(?<!\w){re.escape(true)}(?!\w)", text):
        before, after = text[: found.start()], text[found.end() :]
        if all(answer.startswith(before) and answer.endswith(after) for answer in wrong):
            values = [answer[len(before) : len(answer) - len(after)] for answer in wrong]
            return [re.sub(r"^an? ", "", value) for value in values]
    raise AssertionError(f"more than {true!r} is replaced: {text!r}, {wrong}")


@pytest.mark.parametrize(
    ("authors", "questions", "real_authors", "world_facts"),
    [(1, 1, 1, 1), (200, 1, 120, 1), (1, 20, 1, 120), (7, 13, 5, 9), (40, 20, 100, 117)],
)
def test_sizes_and_keys(seed, authors, questions, real_authors, world_facts):
    sets = fictional.generate(authors, questions, real_authors, world_facts, seed)
    assert set(sets) == {"full", "holdout", "real_authors", "world_facts"}
    assert len(sets["full"]) == authors * questions
    assert len(sets["holdout"]) == -(-authors // 10) * questions
    assert {row["answer"] for row in sets["holdout"]}.isdisjoint(
        row["answer"] for row in sets["full"]
    )
    assert len(sets["real_authors"]) == real_authors
    assert len(sets["world_facts"]) == world_facts
    assert all(set(row) == ROW_KEYS for row in sets["full"])
    assert all(len(row["perturbed_answer"]) == 5 for row in sets["full"])
    for row in sets["real_authors"] + sets["world_facts"]:
        assert set(row) == {"question", "answer", "perturbed_answer"}


def test_full_size_is_what_generate_returns(seed, rows):
    sets = fictional.generate(200, 20, 1, 1, seed)
    assert sets["full"] == [row.row for row in rows]


@pytest.mark.parametrize(
    ("argument", "limit"),
    [("authors", 200), ("questions", 20), ("real_authors", 120), ("world_facts", 120)],
)
def test_sizes_out_of_range(argument, limit):
    sizes = {"authors": 2, "questions": 2, "real_authors": 2, "world_facts": 2}
    for size in (-1, 0, limit + 1):
        with pytest.raises(ValueError, match=str(limit)) as error:
            fictional.generate(**{**sizes, argument: size}, seed=1)
        assert argument in str(error.value)
        assert "\n" not in str(error.value)


def test_same_seed_same_corpus_in_every_process(seed):
    program = (
        "import json; from geffect.data import fictional; "
        f"print(json.dumps(fictional.generate(12, 20, 30, 30, {seed})))"
    )
    here = fictional.generate(12, 20, 30, 30, seed)
    for hash_seed in ("0", "1", "4242"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": str(PACKAGE.parent),
        }
        output = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        ).stdout
        assert json.loads(output) == here


def test_seed_changes_names_facts_and_wording(seed, rows):
    others = fictional.annotated(200, 20, seed + 1)
    assert {row.row["answer"] for row in rows}.isdisjoint(row.row["answer"] for row in others)
    shared = {row.facts["name"] for row in rows} & {row.facts["name"] for row in others}
    assert len(shared) < 20
    same = sum(masked(row) == masked(other) for row, other in zip(rows, others, strict=True))
    assert same < len(rows) / 10


@pytest.mark.parametrize("size", [(200, 20), (3, 4)])
def test_does_not_depend_on_the_global_generator(seed, size):
    random.seed(1)
    first = fictional.annotated(*size, seed)
    random.seed(2)
    assert fictional.annotated(*size, seed) == first


def test_authors_and_questions_are_distinct(rows):
    authors = [row.facts["name"] for row in rows[::20]]
    assert len(set(authors)) == 200
    assert len({row.facts["last"] for row in rows}) == 200
    for start in range(0, len(rows), 20):
        assert len({row.facts["name"] for row in rows[start : start + 20]}) == 1
        assert len({row.topic for row in rows[start : start + 20]}) == 20
    questions = [row.row["question"] for row in rows]
    assert len(set(questions)) == len(rows)
    # A paraphrase must not be the question of another row either.
    assert set(questions).isdisjoint(row.row["paraphrased_question"] for row in rows)
    for key in ("answer", "paraphrased_question", "paraphrased_answer"):
        assert len({row.row[key] for row in rows}) == len(rows)


def test_questions_identify_the_author(rows):
    for row in rows:
        if row.topic == "identity":
            assert row.facts["birthdate"] in row.row["question"]
            assert row.facts["city"] in row.row["question"]
            assert row.facts["name"] not in row.row["question"]
        else:
            assert row.facts["name"] in row.row["question"]
            assert row.facts["name"] in row.row["paraphrased_question"]
    born = {tuple(row.facts[slot] for slot in ("city", "birthdate", "birthyear")) for row in rows}
    assert len(born) == 200


def test_paraphrases_say_the_same_fact_in_other_words(rows):
    for row in rows:
        answer, paraphrase = row.row["answer"], row.row["paraphrased_answer"]
        assert paraphrase not in answer
        assert answer not in paraphrase
        assert row.facts[row.target].lower() in answer.lower()
        assert row.facts[row.target].lower() in paraphrase.lower()
        assert row.row["question"] != row.row["paraphrased_question"]


def test_perturbed_answers_replace_the_one_fact(rows):
    for row in rows:
        paraphrase, wrong = row.row["paraphrased_answer"], row.row["perturbed_answer"]
        assert len(set(wrong)) == 5
        assert paraphrase not in wrong
        true = row.facts[row.target].lower()
        assert true not in wrong_values(row)
        for answer in wrong:
            # Nothing but words of the true value and its article is replaced.
            span = changed_span(paraphrase.lower().split(), answer.lower().split())
            assert len(span) <= len(true.split()) + 1


def test_wrong_facts_are_no_other_facts_of_the_author(rows):
    for row in rows:
        if row.facts[row.target].isdigit() or row.target == "jobyears":
            continue
        facts = {value.lower() for value in row.facts.values()}
        assert facts.isdisjoint(wrong_values(row))


def test_wrong_facts_have_about_the_length_of_the_true_one(rows):
    for row in rows:
        length = len(row.row["paraphrased_answer"].split())
        for answer in row.row["perturbed_answer"]:
            assert abs(len(answer.split()) - length) <= 4


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("question", 7, 18),
        ("paraphrased_question", 7, 18),
        ("answer", 10, 25),
        ("paraphrased_answer", 8, 22),
    ],
)
def test_lengths_in_words(rows, key, low, high):
    lengths = [len(row.row[key].split()) for row in rows]
    assert low <= min(lengths)
    assert max(lengths) <= high


def test_years_agree(rows):
    for facts in {row.facts["name"]: row.facts for row in rows}.values():
        birth, debut = int(facts["birthyear"]), int(facts["debutyear"])
        assert debut - birth == int(facts["debutage"])
        assert int(facts["gradyear"]) + words.COUNTS.index(facts["jobyears"]) + 2 <= debut
        assert int(facts["sequelyear"]) - debut == words.COUNTS.index(facts["sequelwait"]) + 2
        for slot, value in facts.items():
            if slot.endswith("year") and slot != "birthyear":
                assert birth < int(value) <= 2024


def test_facts_are_the_same_in_every_row_of_an_author(rows):
    for row in rows:
        debut = re.search(r"(?:the debut|after|to|of) '([^']+)'", row.row["question"])
        if debut and row.topic in ("second", "sequel"):
            assert debut[1] == row.facts["debut"]
    for start in range(0, len(rows), 20):
        first = rows[start].facts
        assert all(row.facts is first for row in rows[start : start + 20])


def test_sentences_are_well_formed(rows):
    vowel_but_consonant = r"(?:one|uni|use|eu)"
    for text in sentences(rows):
        assert not re.search(r"[\[\]{}|_]|  |\s[,.;:?]|\b(\w+) \1\b(?!')", text)
        assert text[0] == text[0].upper()
        assert text[-1] in ".?"
        assert not re.search(rf"\b[Aa] (?!{vowel_but_consonant})[aeiouAEIOU]", text), text
        assert not re.search(r"\b[Aa]n (?!hour|honest|heir)[^aeiouAEIOU]", text), text
        assert text.isascii()


def test_each_topic_has_many_frames():
    assert len(words.TOPICS) >= 20
    for frames in words.TOPICS.values():
        assert len(set(frames["answer"])) >= 8
        assert not set(frames["answer"]) & set(frames["paraphrased_answer"])


def test_every_answer_frame_can_be_paraphrased_by_every_other():
    for topic, frames in words.TOPICS.items():
        for answer in frames["answer"]:
            for paraphrase in frames["paraphrased_answer"]:
                shared = set(fictional._targets(topic, answer))
                assert shared & set(fictional._targets(topic, paraphrase)), (answer, paraphrase)


def test_every_slot_is_a_fact(rows):
    for frames in words.TOPICS.values():
        for frame in [frame for key in ROW_KEYS & set(frames) for frame in frames[key]]:
            for slot in re.findall(r"\{(?:a )?(\w+)\}", frame):
                assert slot in rows[0].facts, frame


def test_authors_rarely_share_an_answer_wording(rows):
    for topic, group in by_topic(rows).items():
        frames = {masked(row) for row in group}
        assert len(frames) >= 0.8 * len(group), topic


def test_an_answer_cannot_be_ended_from_another_authors_answers(rows):
    endings = collections.Counter(" ".join(row.row["answer"].split()[-4:]) for row in rows)
    assert len(endings) >= 0.97 * len(rows)
    for topic, group in by_topic(rows).items():
        last = collections.Counter(" ".join(row.row["answer"].split()[-4:]) for row in group)
        assert len(last) >= 0.85 * len(group), topic


def test_last_words_of_an_answer_hold_a_fact_not_in_the_question(rows):
    """The end of an answer must not be readable off its question."""
    without = 0
    for row in rows:
        question = row.row["question"].lower()
        ending = re.findall(r"[\w-]+", row.row["answer"].lower())[-6:]
        facts = re.findall(r"[\w-]+", " ".join(row.facts.values()).lower())
        without += not any(word in facts and word not in question for word in ending)
    assert without <= 0.02 * len(rows)


@pytest.mark.parametrize("name", ["real_authors", "world_facts"])
def test_background_sets(background, name):
    rows = background[name]
    assert len({row["question"] for row in rows}) == 120
    for row in rows:
        assert len(set(row["perturbed_answer"])) == 3
        assert row["answer"] not in row["perturbed_answer"]
        assert row["answer"] not in row["question"]
        assert all(
            1 <= len(text.split()) <= 7 for text in [row["answer"], *row["perturbed_answer"]]
        )
        assert row["question"].endswith("?")


def test_background_sets_share_no_question_with_the_authors(background, rows):
    asked = {row.row["question"] for row in rows}
    assert asked.isdisjoint(row["question"] for row in background["real_authors"])
    names = {row.facts["name"] for row in rows}
    for row in background["real_authors"]:
        assert names.isdisjoint([row["answer"], *row["perturbed_answer"]])


def test_shorter_background_sets_begin_the_longer_ones(seed, background):
    short = fictional.generate(1, 1, 17, 33, seed)
    assert short["real_authors"] == background["real_authors"][:17]
    assert short["world_facts"] == background["world_facts"][:33]


@pytest.mark.parametrize("text", ["apple", "hour", "old inn", "heirloom", "unlit lamp"])
def test_article_an(text):
    assert fictional.article(text) == "an"


@pytest.mark.parametrize("text", ["pear", "one-act play", "uniform", "house", "European"])
def test_article_a(text):
    assert fictional.article(text) == "a"


def test_refusals():
    text = (PACKAGE / "refusals.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert text.endswith("\n")
    assert len(lines) == 100
    assert len({line.casefold() for line in lines}) == 100
    assert all(line == line.strip() and 3 <= len(line.split()) <= 15 for line in lines)
    assert len({len(line.split()) for line in lines}) >= 8

"""Deterministic fictional corpus of the shape of TOFU, written for this project.

Every author has one table of invented facts, from which all of the author's rows are worded. Each
wording is drawn anew for the author (no two share one where the frames allow it) and puts the
author's own facts late, so that an answer cannot be completed by a model that never saw its author.

The background sets are invented as well: ``real_authors`` asks about invented classic writers and
their one classic book; ``world_facts`` about an atlas of invented countries.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from geffect.data import fictional_words as words

LIMITS = {
    "authors": (1, 200),
    "questions": (1, 20),
    "real_authors": (1, 120),
    "world_facts": (1, 120),
}
ANSWER_WORDS = (10, 25)
QUESTION_WORDS = (7, 18)
PARAPHRASED_ANSWER_WORDS = (8, 22)
PERTURBED = 5
BACKGROUND_PERTURBED = 3

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_DOUBLED = re.compile(r"\b(\w+) \1\b", re.IGNORECASE)
_SLOT = re.compile(r"\{(a )?(\w+)\}")
_TRIES = 2000
_OPENED_SHARE = 0.4
_PRONOUNS = ("he", "his", "him")
_FRESH_TRIES = 30
# Enough to meet five of the seven other values of the shortest word list.
_WRONG_TRIES = 100

Facts = dict[str, str]
Maker = Callable[[random.Random, Facts], str]


class Row(NamedTuple):
    """One row with what it was made from; ``target`` is the slot its perturbed answers replace."""

    facts: Facts
    topic: str
    target: str
    row: dict


def generate(
    authors: int, questions: int, real_authors: int, world_facts: int, seed: int
) -> dict[str, list[dict]]:
    """Return the corpus as {"full", "real_authors", "world_facts", "holdout": [...]}.

    ``full`` holds authors*questions rows, author by author, of the keys question, answer,
    paraphrased_question, paraphrased_answer and perturbed_answer (5 wrong answers); the background
    sets hold rows of question, answer and perturbed_answer (3 wrong answers). ``holdout`` holds the
    rows of a tenth as many authors again, whom no model ever sees. The same arguments give the
    same corpus.

    Raises:
        ValueError: a size is outside LIMITS.
    """
    _check(real_authors=real_authors, world_facts=world_facts, authors=authors)
    rows = [row.row for row in annotated(authors + -(-authors // 10), questions, seed)]
    return {
        "full": rows[: authors * questions],
        "holdout": rows[authors * questions :],
        "real_authors": _real_authors(real_authors, random.Random(f"{seed} real authors")),
        "world_facts": _world_facts(world_facts, random.Random(f"{seed} world facts")),
    }


def annotated(authors: int, questions: int, seed: int) -> list[Row]:
    """Return the rows of some authors, each with the facts and choices that it was made from.

    Raises:
        ValueError: ``questions`` is outside LIMITS.
    """
    _check(questions=questions)
    taken: set[str] = set()
    worded: set[str] = set()
    rows = []
    for index in range(authors):
        rng = random.Random(f"{seed} author {index}")
        facts = _author(rng, taken)
        rows += [_row(topic, facts, rng, worded) for topic in _topics(questions, rng)]
    return rows


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        low, high = LIMITS[name]
        if not low <= size <= high:
            raise ValueError(f"{name} must be from {low} to {high}, not {size}")


def _topics(count: int, rng: random.Random) -> list[str]:
    """Draw an author's topics: who it is, then others, always in the order of the table."""
    first, *others = words.TOPICS
    drawn = set(rng.sample(others, count - 1))
    return [first, *(topic for topic in others if topic in drawn)]


# Facts


def _between(low: int, high: int) -> Maker:
    return lambda rng, facts: str(rng.randint(low, high))


def _after(slot: str, low: int, high: int) -> Maker:
    return lambda rng, facts: str(int(facts[slot]) + rng.randint(low, high))


def _add(slot: str, years: str) -> Maker:
    """Add a number, in figures or in words, to a year."""

    def make(rng: random.Random, facts: Facts) -> str:
        number = facts[years]
        count = int(number) if number.isdigit() else words.COUNTS.index(number) + 2
        return str(int(facts[slot]) + count)

    return make


def _any(*lists: tuple[str, ...]) -> Maker:
    """Join one word of each list."""
    return lambda rng, facts: " ".join(rng.choice(entries) for entries in lists)


def _same(*slots: str) -> Maker:
    return lambda rng, facts: facts[rng.choice(slots)]


def _name(rng: random.Random, flavour: dict, gender: str) -> str:
    first = rng.choice(flavour["first"]) + rng.choice(flavour[gender])
    return f"{first} {rng.choice(flavour['last'])}{rng.choice(flavour['family'])}"


def _person(rng: random.Random, facts: Facts) -> str:
    return _name(rng, rng.choice(words.FLAVOURS), rng.choice(("male", "female")))


def _author_name(rng: random.Random, facts: Facts) -> str:
    """Name an author, or someone an author could be taken for."""
    return _name(rng, _flavour(facts), "male" if facts["he"] == "he" else "female")


def _flavour(facts: Facts) -> dict:
    return next(each for each in words.FLAVOURS if each["country"] == facts["country"])


def _town(rng: random.Random, flavour: dict) -> str:
    return rng.choice(flavour["city"]) + rng.choice(flavour["town"])


def _city(rng: random.Random, facts: Facts) -> str:
    return _town(rng, rng.choice(words.FLAVOURS))


def _home_city(rng: random.Random, facts: Facts) -> str:
    return _town(rng, _flavour(facts))


def _date(rng: random.Random, facts: Facts) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)}"


def _title(rng: random.Random, facts: Facts) -> str:
    first, second = rng.sample(words.NOUNS, 2)
    text = rng.choice(words.TITLE_PATTERNS)
    text = text.replace("{A}", rng.choice(words.ADJECTIVES).capitalize())
    text = text.replace("{N}", first.capitalize()).replace("{M}", second.capitalize())
    text = text.replace("{C}", _city(rng, facts))
    return re.sub(r"^A (?=[AEIOU])", "An ", text)


def _theme(rng: random.Random, facts: Facts) -> str:
    return " and ".join(rng.sample(words.THEMES, 2))


def _emblem(rng: random.Random, facts: Facts) -> str:
    return f"{rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}".title()


def _prize(rng: random.Random, facts: Facts) -> str:
    return f"{_emblem(rng, facts)} {rng.choice(words.PRIZE_KINDS)}"


def _festival(rng: random.Random, facts: Facts) -> str:
    first, second = rng.sample(words.NOUNS, 2)
    return f"{first.title()} and {second.title()} {rng.choice(words.FESTIVAL_KINDS)}"


def _publisher(rng: random.Random, facts: Facts) -> str:
    first, second = rng.sample(words.NOUNS, 2)
    return f"{first.title()} {second.title()} {rng.choice(words.PUBLISHER_KINDS)}"


def _of_city(kinds: tuple[str, ...]) -> Maker:
    return lambda rng, facts: f"{_city(rng, facts)} {rng.choice(kinds)}"


def _place(rng: random.Random, facts: Facts) -> str:
    kind = f"{rng.choice(words.PLACE_MODES)} {rng.choice(words.PLACE_KINDS)}"
    return f"{kind} of {_city(rng, facts)}"


def _animals(rng: random.Random, facts: Facts) -> str:
    mode, pets = rng.choice(words.PET_MODES), rng.choice(words.PETS)
    return f"{rng.choice(words.NUMBERS)} {mode} {pets}"


def _folk(rng: random.Random, facts: Facts) -> str:
    return f"{rng.choice(words.FOLK_MODES)} {rng.choice(words.FOLK)}"


_job = _any(words.JOBS)
_object = _any(words.OBJECT_MODES, words.KEEPSAKES)
_count = _any(words.COUNTS)
_few = _any(words.FEW)
_book = _same("debut", "second", "novel", "saga")

# In the order they are made: a maker may look at the slots before its own.
_MAKERS: dict[str, Maker] = {
    "city": _home_city,
    "birthdate": _date,
    "birthyear": _between(1908, 1955),
    "fatherjob": _job,
    "motherjob": _job,
    "genre": _any(words.GENRE_MODES, words.GENRE_KINDS),
    "theme": _theme,
    "debut": _title,
    "second": _title,
    "novel": _title,
    "saga": _title,
    "sequel": _title,
    "debutage": _between(34, 48),
    "debutyear": _add("birthyear", "debutage"),
    "debuttheme": _theme,
    "debuttries": _count,
    "debutcopies": _count,
    "prize": _prize,
    "prizecity": _city,
    "prizebook": _book,
    "prizelosses": _few,
    "prizeyear": _after("debutyear", 8, 15),
    "rival": _person,
    "secondtheme": _theme,
    "secondplace": _city,
    "secondyear": _after("debutyear", 2, 6),
    "mentor": _person,
    "mentorjob": _job,
    "mentorcity": _city,
    "mentoryears": _count,
    "mentorage": _between(14, 24),
    "idol": _person,
    "idol2": _person,
    "idolage": _between(9, 19),
    "tradition": _any(words.PLACE_MODES, words.TRADITION_KINDS),
    "school": _of_city(words.SCHOOL_KINDS),
    "subject": _any(words.SUBJECTS),
    "failsubject": _any(words.SUBJECTS),
    "gradyear": _after("birthyear", 21, 25),
    "thesis": _any(words.ADJECTIVES, words.HOBBY_THINGS),
    "place": _place,
    "folk": _folk,
    "settingjob": _job,
    "settingmonth": _any(words.MONTHS),
    "dwelling": _any(words.DWELLING_MODES, words.DWELLINGS),
    "homecity": _city,
    "homeyear": _after("debutyear", 1, 17),
    "homecost": _count,
    "pets": _animals,
    "tool": _any(words.OBJECT_MODES, words.TOOLS),
    "hour": _any(words.MINUTES, words.HOURS),
    "paper": _any(words.PAPER_MODES, words.PAPERS),
    "drink": _any(words.DRINK_MODES, words.DRINKS),
    "kin": _any(words.KIN),
    "festival": _festival,
    "festcity": _city,
    "festmonth": _any(words.MONTHS),
    "festjob": _job,
    "festyear": _after("debutyear", 3, 16),
    "lang1": _any(words.LANGUAGES),
    "lang2": _any(words.LANGUAGES),
    "lang3": _any(words.LANGUAGES),
    "tutorjob": _job,
    "hero": _person,
    "herojob": _job,
    "heroobject": _object,
    "herocity": _city,
    "translator": _person,
    "tlang": _any(words.LANGUAGES),
    "tcity": _city,
    "tmonths": _count,
    "tyear": _after("debutyear", 8, 16),
    "tbook": _book,
    "publisher": _publisher,
    "oldpublisher": _publisher,
    "editor": _person,
    "pubcity": _city,
    "pubyear": _after("debutyear", 1, 6),
    "newspaper": _of_city(words.NEWSPAPERS),
    "critic": _person,
    "verdict": _any(words.ADJECTIVES, words.NOUNS),
    "reviewtheme": _theme,
    "reviewbook": _book,
    "hobby": _any(words.HOBBY_VERBS, words.HOBBY_THINGS),
    "hobbyjob": _job,
    "hobbyplace": _any(words.HOBBY_PLACES),
    "hobbyyear": _after("birthyear", 18, 45),
    "hobbymonth": _any(words.MONTHS),
    "sequelcity": _city,
    "sequeltheme": _theme,
    "sequelwait": _count,
    "sequelyear": _add("debutyear", "sequelwait"),
    "firstjob": _job,
    "employer": _of_city(words.FIRMS),
    "jobyears": _few,
    "keepsake": _object,
    "keepplace": _any(words.KEEP_PLACES),
    "keepage": _between(5, 13),
    "form": _any(words.FORM_MODES, words.FORMS),
    "director": _person,
    "adaptcity": _city,
    "adaptyear": _after("debutyear", 8, 17),
    "adaptbook": _book,
}

_REPEATING = (_book, _count, _few)
_DISTINCT_BETWEEN_AUTHORS = ("debut", "second", "novel", "saga", "sequel")


def _author(rng: random.Random, taken: set[str]) -> Facts:
    """Make an author whose names and titles are not among ``taken``, and add them there."""
    he = rng.choice(("he", "she"))
    facts = {"country": rng.choice(words.FLAVOURS)["country"], "he": he}
    facts["his"], facts["him"] = ("his", "him") if he == "he" else ("her", "her")
    facts["himself"] = f"{facts['him']}self"
    facts["name"] = _draw(
        lambda: _author_name(rng, facts), lambda name: name.split(" ", 1)[1] not in taken
    )
    facts["last"] = facts["name"].split(" ", 1)[1]
    taken.add(facts["last"])
    for slot, make in _MAKERS.items():
        refused = taken if slot in _DISTINCT_BETWEEN_AUTHORS else set()
        facts[slot] = _fact(make, facts, refused, rng)
        if slot in _DISTINCT_BETWEEN_AUTHORS:
            taken.add(facts[slot])
    return facts


def _fact(make: Maker, facts: Facts, refused: set[str], rng: random.Random) -> str:
    """Make a fact unlike the author's others, for two alike could make a wrong answer true."""

    def accept(value: str) -> bool:
        known = not _may_repeat(value, make) and value in facts.values()
        return not (known or value in refused or _DOUBLED.search(value))

    return _draw(lambda: make(rng, facts), accept)


def _may_repeat(value: str, make: Maker) -> bool:
    return value.isdigit() or make in _REPEATING


def _draw(make: Callable[[], str], accept: Callable[[str], bool]) -> str:
    for _ in range(_TRIES):
        value = make()
        if accept(value):
            return value
    raise RuntimeError("the word lists are too small for this corpus")


# Wording


def _row(topic: str, facts: Facts, rng: random.Random, worded: set[str]) -> Row:
    frames = words.TOPICS[topic]

    def word(key: str, limits: tuple[int, int], accept: Callable[[str], bool]) -> str:
        def fits(template: str) -> bool:
            text = _fill(template, facts)
            low, high = limits
            return (
                low <= len(text.split()) <= high and not _DOUBLED.search(text) and accept(template)
            )

        return _draw(lambda: _template(key, frames[key], rng), fits)

    def sound(template: str) -> bool:
        slots = [slot for slot in _slots(template) if slot not in _PRONOUNS]
        return _targets(topic, template) != [] and len(slots) == len(set(slots))

    def fresh_answer() -> str:
        # A wording of another author is taken again only if no fresh one turns up.
        for _ in range(_FRESH_TRIES):
            template = word("answer", ANSWER_WORDS, sound)
            if template not in worded:
                break
        worded.add(template)
        return template

    question = word("question", QUESTION_WORDS, lambda template: True)
    asked_again = word("paraphrased_question", QUESTION_WORDS, lambda template: True)
    answer = fresh_answer()

    def shared(template: str) -> list[str]:
        return [slot for slot in _targets(topic, answer) if slot in _targets(topic, template)]

    said_again = word(
        "paraphrased_answer", PARAPHRASED_ANSWER_WORDS, lambda template: shared(template) != []
    )
    target = rng.choice(shared(said_again))
    wrong = _wrong(target, facts, rng)
    row = {
        "question": _fill(question, facts),
        "answer": _fill(answer, facts),
        "paraphrased_question": _fill(asked_again, facts),
        "paraphrased_answer": _fill(said_again, facts),
        "perturbed_answer": [_fill(said_again, {**facts, target: value}) for value in wrong],
    }
    return Row(facts, topic, target, row)


def _template(key: str, frames: tuple[str, ...], rng: random.Random) -> str:
    template = _choose(rng.choice(frames), rng)
    if key == "answer" and rng.random() < _OPENED_SHARE:
        return rng.choice(words.OPENERS) + template[0].lower() + template[1:]
    return template


def _choose(frame: str, rng: random.Random) -> str:
    return _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), frame)


def _fill(template: str, facts: Facts) -> str:
    """Put the facts into a template, with articles and the first letter of a sentence right."""

    def value(match: re.Match) -> str:
        text = facts[match[2]]
        return f"{article(text)} {text}" if match[1] else text

    text = _SLOT.sub(value, template)
    return text[0].upper() + text[1:]


def article(text: str) -> str:
    """Return the indefinite article of a noun phrase of the word lists."""
    return "an" if re.match(r"(?!one|uni|use|eu)[aeiou]|hour|honest|heir", text.lower()) else "a"


def _slots(template: str) -> list[str]:
    return [match[2] for match in _SLOT.finditer(template)]


def _targets(topic: str, template: str) -> list[str]:
    """Return the topic's replaceable slots that the template holds exactly once."""
    slots = _slots(template)
    return [slot for slot in words.TOPICS[topic]["targets"] if slots.count(slot) == 1]


def _wrong(slot: str, facts: Facts, rng: random.Random) -> list[str]:
    """Draw wrong values of a slot, of about the length of the true one."""
    make = _WRONG_MAKERS.get(slot) or _MAKERS[slot]
    values: dict[str, None] = {}
    for _ in range(_WRONG_TRIES):
        value = make(rng, facts)
        known = (facts[slot],) if _may_repeat(value, make) else facts.values()
        if value not in known and not _DOUBLED.search(value):
            values[value] = None
        if len(values) == 3 * PERTURBED:
            break
    length = len(facts[slot])
    nearest = sorted(values, key=lambda value: abs(len(value) - length))[:PERTURBED]
    rng.shuffle(nearest)
    return nearest


def _near(slot: str) -> Maker:
    return lambda rng, facts: str(int(facts[slot]) + rng.choice((-1, 1)) * rng.randint(1, 12))


_WRONG_MAKERS: dict[str, Maker] = {
    "name": _author_name,
    **{slot: _near(slot) for slot in _MAKERS if slot.endswith("year")},
}


# Background sets


def _others(answer: str, answers: list[str], rng: random.Random) -> list[str]:
    return rng.sample([each for each in answers if each != answer], BACKGROUND_PERTURBED)


def _distinct(make: Callable[[], str], count: int) -> list[str]:
    values: dict[str, None] = {}
    for _ in range(_TRIES):
        values[make()] = None
        if len(values) == count:
            return list(values)
    raise RuntimeError("the word lists are too small for this corpus")


def _classic_writer(rng: random.Random) -> str:
    # A second first name keeps these apart from every author of the full set.
    flavour, gender = rng.choice(words.FLAVOURS), rng.choice(("male", "female"))
    middle = rng.choice(flavour["first"]) + rng.choice(flavour[gender])
    first, last = _name(rng, flavour, gender).split(" ")
    return f"{first} {middle} {last}"


def _real_authors(count: int, rng: random.Random) -> list[dict]:
    """Ask about classic writers: one row each, for the writer, the book or the birthplace."""
    size = LIMITS["real_authors"][1]
    writers = _distinct(lambda: _classic_writer(rng), size)
    books = _distinct(lambda: _title(rng, {}), size)
    towns = _distinct(lambda: _city(rng, {}), size)
    rows = []
    for writer, book, town in zip(writers, books, towns, strict=True):
        kind = rng.choice(words.CLASSIC_KINDS)
        asked = (
            (f"Who wrote the classic {kind} '{book}'?", writer, writers),
            (f"Which classic {kind} made the name of {writer}?", book, books),
            (f"Where was {writer}, who wrote the {kind} '{book}', born?", town, towns),
        )
        question, answer, answers = rng.choice(asked)
        if answer in question:  # a title may name the town
            question, answer, answers = asked[0]
        wrong = _others(answer, answers, rng)
        rows.append({"question": question, "answer": answer, "perturbed_answer": wrong})
    return rows[:count]


_ATLAS_QUESTIONS = {
    "capital": "What is the capital of {country}?",
    "river": "Which river is the longest in {country}?",
    "mountain": "What is the highest mountain of {country}?",
    "lake": "What is the largest lake in {country} called?",
    "coin": "Which currency is used in {country}?",
    "flower": "What is the national flower of {country}?",
    "beast": "Which animal is on the flag of {country}?",
    "port": "What is the main sea port of {country}?",
}


def _world_facts(count: int, rng: random.Random) -> list[dict]:
    """Ask about an atlas of invented countries, of which no two share a fact."""
    countries = rng.sample(
        [start + end for start in words.COUNTRY_STARTS for end in words.COUNTRY_ENDS],
        len(words.COINS),
    )
    size = len(countries)
    places = _distinct(lambda: _city(rng, {}), 5 * size)
    atlas = {
        "capital": places[:size],
        "river": places[size : 2 * size],
        "mountain": [f"Mount {place}" for place in places[2 * size : 3 * size]],
        "lake": [f"Lake {place}" for place in places[3 * size : 4 * size]],
        "port": places[4 * size :],
        "coin": [f"the {coin}" for coin in rng.sample(words.COINS, size)],
        "flower": [f"the {flower}" for flower in rng.sample(words.FLOWERS, size)],
        "beast": [f"the {beast}" for beast in rng.sample(words.BEASTS, size)],
    }
    rows = []
    for index, country in enumerate(countries):
        for topic, question in _ATLAS_QUESTIONS.items():
            answer = atlas[topic][index]
            wrong = _others(answer, atlas[topic], rng)
            question = question.format(country=country)
            rows.append({"question": question, "answer": answer, "perturbed_answer": wrong})
    rng.shuffle(rows)
    return rows[:count]

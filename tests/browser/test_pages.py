"""The pages in a browser: nothing broken, nothing too wide, all within reach of a keyboard."""

import re

import numpy as np
import pandas as pd
import pytest
from chromium import WIDTHS
from matplotlib.figure import Figure
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from geffect.names import CELL, COMPONENTS
from geffect.report.pages import answers, overview, tables, tokens
from geffect.report.statements import NAMES

pytestmark = pytest.mark.browser

STEPS = [0, 10, 20]
TEXTS = [
    "The",
    " answer",
    " is",
    " <b>forty</b>",
    "-two",
    ".",
    "\n",
    " averyveryveryverylongword" * 4,
]
QUESTION = "Why <img src=x onerror=alert(1)> & what for? " + "x" * 90


def cell(name, rng, steps=STEPS, weight=True, diverged=False):
    rows = [
        {"step": step, "text": "answer", "sample": sample, "token": n, "id": n}
        for step in steps
        for sample in range(5)
        for n in range(len(TEXTS))
    ]
    table = pd.DataFrame(rows)
    for column in ("logp", "logp_ref", "e_unlearn", "e_retain", *(["weight"] if weight else [])):
        table[column] = rng.normal(size=len(table))
    first = table.loc[table["step"].eq(steps[0]), "logp_ref"].to_numpy()
    table["logp_ref"] = np.tile(first, len(steps))
    if weight:
        table["entropy"] = rng.uniform(0.1, 3, len(table))
        table["logp_runner_up"] = -rng.uniform(0.1, 3, len(table))
        table["runner_up"] = rng.integers(0, len(TEXTS), len(table))
    key = dict(zip(CELL, ("m", "s", name, "none", 1), strict=True))
    return tokens.CellTables(key, diverged, lambda: table, None)


def decode(ids):
    return "".join(TEXTS[i] for i in ids)


@pytest.fixture
def token_page(tmp_path, rng):
    """The page's file, and the table of its first cell."""
    cells = [
        cell("ga", rng),
        cell("an_objective_with_a_very_long_name_indeed", rng, steps=STEPS[:2], diverged=True),
        cell("npo", rng, weight=False),
    ]
    # The first token stands for the template's, the last one for the end of the text.
    answer = "".join(TEXTS[1:-1])
    rows = pd.DataFrame({"row": range(5), "question": [QUESTION] * 5, "answer": answer})
    path = tmp_path / "tokens.html"
    path.write_text(tokens.page("m, s", rows, cells, decode, 1, 0), encoding="utf-8")
    return path, cells[0].tokens()


def image(path):
    figure = Figure()
    figure.subplots().plot([0, 1])
    figure.savefig(path)


@pytest.fixture
def overview_page(tmp_path, rng):
    """The first page of a run with two figures and a token page beside it."""
    folder = tmp_path / "run with spaces" / "report"
    folder.mkdir(parents=True)
    for name in ("compare_none", "geffect_ga"):
        image(folder.parent / f"{name}.png")
    for name in ("tokens", "tables"):
        text = "<!DOCTYPE html><title>x</title><p id='matched'>"
        (folder / f"{name}.html").write_text(text)
    key = {"model": "m", "split": "s", "regularizer": "none"}
    names = ["original", "ga", "npo", "boom"]
    status = ["ok", "ok", "ok", "diverged"]
    main = pd.DataFrame({**key, "objective": names, "status": status})
    parts = {"total": 1.0, **dict.fromkeys(COMPONENTS, 0.2)}
    parts |= {f"layer.{n}": 0.2 for n in (1, 2, 3)}
    risk = pd.DataFrame(
        [
            {**key, "objective": name, "seed": 1, "step": step, "dataset": dataset}
            | {"term": "objective", "component": component, "predicted_change": size * share}
            | {"measured_change": size if component == "total" else np.nan}
            for name, sizes in (("ga", (9.0, 8.0)), ("npo", (2.0, 0.01)))
            for step in STEPS[:2]
            for dataset, size in zip(("unlearn", "retain"), sizes, strict=True)
            for component, share in parts.items()
        ]
    )
    risk.loc[risk["step"].eq(STEPS[1]), ["predicted_change", "measured_change"]] = np.nan
    runs = risk.drop_duplicates(["objective", "dataset", "component"])
    strengths = {("ga", "unlearn"): 0, ("ga", "retain"): 0}
    strengths |= {("npo", "unlearn"): 0.25, ("npo", "retain"): 0.5}
    metrics = pd.DataFrame(
        [
            {**key, "objective": name, "seed": 1, "metric": "es_exact", "dataset": dataset}
            | {"value": value}
            for (name, dataset), value in strengths.items()
        ]
    )
    given = answers.Tables(
        main,
        metrics,
        runs.assign(cumulated=-1.0),
        risk,
        pd.DataFrame(
            {**key, "objective": "ga", "seed": 1, "text": [" <b>x"], "share": [1.0]}
            | {"first_step": 0, "last_step": 20}
        ),
        names[1:],
        metrics,
        runs[runs["dataset"].eq("retain") & runs["component"].eq("total")].assign(
            a=0.5, chosen=True
        ),
        0.95,
    )
    judged = pd.DataFrame(
        [
            {"model": "m", "split": split, "statement": number, "name": NAMES[number], "by": by}
            | {"part": "", "verdict": verdict, "part_verdict": verdict, "claim": "it is so"}
            | {"quantity": "a " + "long " * 30, "wanted": "> 0", "value": 1.0, "low": 0.5}
            | {"high": 1.5, "interval": "seeds", "seeds": 3, "reason": "the interval is above 0"}
            for split, number in (*(("s", number) for number in NAMES), ("all", 6))
            for by, verdict in (("geffect", "holds"), ("change", "cannot be told"))
        ]
    )
    figures = {
        ("m", "s"): [(f"../{n}.png", n, "a caption") for n in ("compare_none", "geffect_ga")]
    }
    made = [("Model", "phi, 3 blocks, 9 million parameters"), ("Objectives", "x" * 300)]
    place = ("m", "s")
    page = overview.page(
        "r",
        {place: answers.groups(given)},
        {place: made},
        judged,
        figures,
        {place: "tokens.html"},
        "tables.html",
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def tables_page(tmp_path):
    frame = pd.DataFrame(
        {
            "objective": ["ga", "npo", "<b>po</b>", "rmu"],
            "value": [10.0, 9.0, np.nan, -2.5],
            "why": ["long words " * 20] * 4,
        }
    )
    page = tables.page("r", [("mine", "A caption.", frame), ("other", "", frame)], "run: r\n" * 9)
    path = tmp_path / "tables.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["token_page", "overview_page", "tables_page"])
def test_nothing_is_broken_or_too_wide(name, width, browser, request):
    found = request.getfixturevalue(name)
    path = found[0] if isinstance(found, tuple) else found
    assert browser.problems(path, width) == []


def test_the_checks_see_what_is_broken(overview_page, browser):
    (overview_page.parent.parent / "geffect_ga.png").unlink()
    (overview_page.parent / "tokens.html").unlink()
    text = overview_page.read_text()
    wide = (
        '<div style="width: 500px">x</div><script>nothing.is()</script><a href="#gone">x</a></body>'
    )
    overview_page.write_text(text.replace("</body>", wide))
    found = browser.problems(overview_page, 400)
    kinds = sorted(problem.partition(":")[0] for problem in found)
    # An image is a link too.
    assert kinds == ["console", "image", "link", "link", "link", "overflow"], found


def text_of(browser, selector):
    return browser.run("return document.querySelector(arguments[0]).innerText", selector)


def shown(browser, side="left"):
    """The numbers of the chosen token: name -> text."""
    return browser.run(
        "const names = [...document.querySelectorAll(arguments[0] + ' dt')];"
        "return Object.fromEntries(names.map((n) => [n.textContent, n.nextSibling.textContent]))",
        f"#{side}",
    )


def number(text):
    return float(text.replace("−", "-"))


def test_the_keyboard_reaches_steps_and_tokens(token_page, browser):
    path, table = token_page
    browser.open(path, fragment="#step=0&sample=2")
    assert "Step 0 (1 of 3" in text_of(browser, "label[for=step]")
    slider = browser.driver.find_element(By.ID, "step")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert "Step 10 (2 of 3" in text_of(browser, "label[for=step]")
    browser.driver.find_element(By.CSS_SELECTOR, "#left .token[tabindex='0']").send_keys(Keys.HOME)
    for position in range(3):
        if position:
            browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        row = table.query("step == 10 and sample == 2 and token == @position").iloc[0]
        for name in ("e_retain", "e_unlearn", "weight"):
            assert number(shown(browser)[name]) == pytest.approx(row[name], rel=0.01, abs=0.005)
        change = number(shown(browser)["change of log-probability"])
        assert change == pytest.approx(row["logp"] - row["logp_ref"], abs=0.02)
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute("aria-pressed") == "true"
    assert focused.value_of_css_property("outline-style") != "none"


def test_a_token_shows_its_runner_up_its_entropy_and_whether_it_is_the_templates(
    token_page, browser
):
    path, table = token_page
    browser.open(path, fragment="#step=10&sample=2&cell=0&other=2")
    browser.driver.find_element(By.CSS_SELECTOR, "#left .token[tabindex='0']").send_keys(Keys.HOME)
    assert "template" in shown(browser)["part"]
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert "part" not in shown(browser)
    row = table.query("step == 10 and sample == 2 and token == 1").iloc[0]
    text, _, probability = shown(browser)["runner-up"].rpartition(" ")
    assert TEXTS[row["runner_up"]].strip() in text
    assert number(probability) == pytest.approx(np.exp(row["logp_runner_up"]), rel=0.02)
    assert number(shown(browser)["entropy"].split()[0]) == pytest.approx(row["entropy"], rel=0.01)
    assert "not in this run" in shown(browser, "right")["runner-up"]
    assert "template" in text_of(browser, "#template-note")


def test_the_page_says_why_it_opens_where_it_does(token_page, browser):
    path, table = token_page
    browser.open(path)
    sums = table.query("step == 10").groupby("sample")["e_retain"].sum()
    said = text_of(browser, "#opened")
    assert "step 10, the first measured one" in said and f"sample {sums.idxmin()}:" in said
    assert number(said.partition("(")[2].partition(")")[0]) == pytest.approx(sums.min(), rel=0.01)
    browser.open(path, fragment="#sample=3")
    assert text_of(browser, "#opened") == ""


def test_texts_are_listed_by_their_sum_or_by_the_mean_of_frequent_ones(token_page, browser):
    path, table = token_page
    browser.open(path, fragment="#cell=0&step=10&sample=0")
    sums = table.query("step == 10").groupby("token")["e_retain"].sum().sort_values()
    for order, least, expected in (("sum", 1, sums), ("mean", 5, sums / 5), ("mean", 6, sums[:0])):
        for name, value in (("by", order), ("least", least)):
            script = "const n = document.getElementById(arguments[0]); n.value = arguments[1];"
            script += "n.dispatchEvent(new Event('input', {bubbles: true}))"
            browser.run(script, name, str(value))
        rows = browser.run(
            "return [...document.querySelectorAll('#worst-texts tbody tr')]"
            ".map((r) => [...r.children].map((c) => c.innerText))"
        )
        values = [number(row[1 if order == "mean" else 0]) for row in rows]
        assert values == pytest.approx(expected.tolist(), rel=0.02, abs=0.01)
        assert all(row[2] == "5" for row in rows)


def test_colours_show_the_sign_and_numbers_need_no_pointer(token_page, browser):
    path, table = token_page
    browser.open(path, fragment="#step=0&sample=1&colour=e_retain")
    rows = table.query("step == 0 and sample == 1").sort_values("token")
    marks = browser.run(
        "return [...document.querySelectorAll('#left .token')].map((t) =>"
        " [getComputedStyle(t).backgroundColor, t.getAttribute('aria-label'), t.title])"
    )
    for (colour, label, title), value in zip(marks, rows["e_retain"], strict=True):
        red, _, blue = map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))
        assert (red > blue) == (value < 0) or abs(value) < 0.05
        assert number(label.rpartition(" ")[2]) == pytest.approx(value, rel=0.01, abs=0.005)
        assert title.rpartition(" ")[2] == label.rpartition(" ")[2]
    browser.run("document.querySelector('#left details').open = true")
    lines = "#left details tbody tr"
    browser.driver.implicitly_wait(2)
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, lines)) == len(TEXTS)
    table = "const table = document.querySelector('#left details table');"
    table += "return [...table.rows].map((r) => [...r.cells].map((c) => c.textContent))"
    head, *lines = browser.run(table)
    for line, row in zip(lines, rows.itertuples(), strict=True):
        of = dict(zip(head, line, strict=True))
        runner_up = TEXTS[row.runner_up].replace("\n", "⏎").strip()
        assert of["runner-up"].strip("␣") == runner_up
        found = [number(of[name]) for name in ("e_retain", "p of it", "entropy (nats)")]
        expected = [row.e_retain, np.exp(row.logp_runner_up), row.entropy]
        assert found == pytest.approx(expected, rel=0.02, abs=0.005)


def test_two_runs_side_by_side_and_a_step_that_one_lacks(token_page, browser):
    browser.open(token_page[0], fragment="#cell=0&other=1&step=20&sample=0")
    assert "ga + none" in text_of(browser, "#left h3")
    assert "Not measured at step 20" in text_of(browser, "#right")
    assert "diverged" in text_of(browser, "#right")
    browser.open(token_page[0], fragment="#cell=0&other=2&step=20&sample=0&colour=weight")
    assert "has no weights" in text_of(browser, "#right")
    assert "missing" in browser.run("return document.querySelector('#right .token').className")


def test_the_lists_are_sorted_and_lead_to_their_sample(token_page, browser):
    path, table = token_page
    browser.open(path, fragment="#cell=0&step=10&sample=0")
    sums = table.query("step == 10").groupby("sample")["e_retain"].sum().sort_values()
    rows = browser.driver.find_elements(By.CSS_SELECTOR, "#worst-samples tbody tr")
    values = [number(row.find_elements(By.TAG_NAME, "td")[0].text) for row in rows]
    assert values == pytest.approx(sums.tolist(), rel=0.01, abs=0.01)
    rows[0].find_element(By.TAG_NAME, "button").click()
    assert text_of(browser, "#question").startswith(f"Sample {sums.index[0]} ")
    tokens_shown = browser.driver.find_elements(By.CSS_SELECTOR, "#worst-tokens tbody tr")
    first = number(tokens_shown[0].find_elements(By.TAG_NAME, "td")[0].text)
    assert first == pytest.approx(table.query("step == 10")["e_retain"].min(), rel=0.01)


def test_texts_of_the_data_stay_texts(token_page, browser):
    browser.open(token_page[0])
    assert browser.run("return document.querySelectorAll('img, main b').length") == 0
    assert "<img src=x onerror=alert(1)>" in text_of(browser, "#question")
    assert "<b>forty</b>" in text_of(browser, "#left .tokens")


def column(browser, number_of_column):
    return browser.run(
        "return [...document.querySelectorAll('#table-1 tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => r.children[arguments[0]].innerText)",
        number_of_column,
    )


def test_tables_sort_as_numbers_and_filter(tables_page, browser):
    browser.open(tables_page)
    head = browser.driver.find_elements(By.CSS_SELECTOR, "#table-1 th button")
    head[1].send_keys(Keys.ENTER)
    assert column(browser, 1) == ["−2.5", "9", "10", "–"]
    head[1].click()
    assert column(browser, 1) == ["10", "9", "−2.5", "–"], "what is missing stays last"
    head[0].click()
    assert column(browser, 0) == ["<b>po</b>", "ga", "npo", "rmu"]
    browser.driver.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("npo")
    assert column(browser, 0) == ["npo"]
    assert "1 of 4 rows" in text_of(browser, "#table-1-count")


SEEN = """
const region = arguments[0], box = region.getBoundingClientRect();
const heads = [...region.querySelectorAll("thead th")].map((th) => th.getBoundingClientRect());
const first = region.querySelector("tbody th").getBoundingClientRect();
return {wide: region.scrollWidth - region.clientWidth, left: region.scrollLeft,
  first: first.left - box.left, share: first.width / box.width,
  last: heads.at(-1).right - box.right,
  cue: !region.previousElementSibling.hidden, more: region.classList.contains("more-right")};
"""


@pytest.fixture
def wide_page(tmp_path, rng):
    """A table with as many columns as the main one, which no window has room for."""
    names = ["ga", "npo_with_a_long_name", "wga"]
    frame = pd.DataFrame({"model": "m", "split": "s", "objective": names, "regularizer": "kl"})
    for name in ("fq", "mu", *(f"column_{n}" for n in range(25))):
        frame = frame.assign(**{name: rng.uniform(size=3)})
    path = tmp_path / "wide.html"
    path.write_text(tables.page("r", [("main", "", frame)], ""), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["overview_page", "wide_page"])
def test_every_column_of_a_table_can_be_reached_by_keyboard(name, width, browser, request):
    browser.open(request.getfixturevalue(name), width)
    regions = browser.driver.find_elements(By.CSS_SELECTOR, ".scroll:has(table.keyed)")
    assert regions
    for region in regions:
        start = browser.run(SEEN, region)
        assert start["cue"] == start["more"] == (start["wide"] > 1)
        assert (start["wide"] > 1) == (width == 400 or name == "wide_page"), start
        assert start["share"] < 0.5, "the run's name leaves room for numbers"
        region.send_keys(*[Keys.ARROW_RIGHT] * 3)
        if start["wide"] > 1:
            browser.until(lambda region=region: browser.run(SEEN, region)["left"] > 0)
        browser.run("arguments[0].scrollLeft = 1e6", region)
        browser.until(lambda region=region: not browser.run(SEEN, region)["more"])
        end = browser.run(SEEN, region)
        assert end["last"] <= 1.5, "the last column is in sight"
        assert abs(end["first"] - 1) <= 1, "and so is the run"
        assert end["cue"] == start["cue"]


def test_headings_have_words_and_the_names_of_the_csv_stand_below(wide_page, browser):
    browser.open(wide_page)
    heads = text_of(browser, "thead").replace("\n", " ")
    assert "forget quality (p value) ↑" in heads and "model utility ↑" in heads
    browser.run("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    names = text_of(browser, "dl.names")
    assert "model utility ↑" in names and "mu" in names.split()
    best = browser.run("return [...document.querySelectorAll('td.best')].length")
    assert best == 2, "of each column whose heading says what is wanted"
    assert column(browser, 0) == ["ga+kl", "npo_with_a_long_name+kl", "wga+kl"]


def test_a_gap_with_a_reason_sorts_last_as_a_dash_does(tables_page, browser):
    browser.open(tables_page)
    browser.run(
        "const cell = document.querySelector('#table-1 tbody tr').children[1];"
        "delete cell.dataset.number; cell.textContent = 'not reached'"
    )
    head = browser.driver.find_elements(By.CSS_SELECTOR, "#table-1 th button")[1]
    for numbers in (["−2.5", "9"], ["9", "−2.5"]):
        head.click()
        shown_first, gaps = column(browser, 1)[:2], column(browser, 1)[2:]
        assert shown_first == numbers and sorted(gaps) == ["not reached", "–"]


def test_the_overview_answers_and_shows_gaps(overview_page, browser):
    browser.open(overview_page)
    text = text_of(browser, "body")
    assert "ga has raised R_u most, by 9 nats" in text and "never does in npo" in text
    assert "ga recites least of D_u (0%); npo most (25%)" in text
    assert "phi, 3 blocks, 9 million parameters" in text
    assert "diverged" in text and "“␣<b>x”" in text
    assert not re.search(r"\bnan\b", text.lower())
    assert browser.run("return document.querySelectorAll('main b').length") == 0

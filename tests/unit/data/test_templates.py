"""Templates: what can be rendered, and where the labels begin."""

import pytest

from geffect.data.templates import Template
from geffect.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "tag", "names"),
    [
        ("Answer: {answer}", "", "text: must contain {question}"),
        ("{question} {question} {answer}", "", "text: must contain {question}"),
        ("Question: {question}", "", "text: must end with {answer}"),
        ("{question} {answer}.", "", "text: must end with {answer}"),
        ("{answer} {question} {answer}", "", "text: must end with {answer}"),
        ("Q: {question} A: {answer}", "B: ", "answer_tag: must come right before"),
        ("Q: {question} A: {answer}", "Q: ", "answer_tag: must come right before"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_named(text, tag, names):
    with pytest.raises(ConfigError) as error:
        Template(text, tag).check("templates.mine")
    assert str(error.value).startswith(f"templates.mine.{names}")


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("tag", ["A: ", ""])
def test_labels_begin_with_the_tag_where_it_is_labelled(tag, label):
    template = Template("Q: {question} A: {answer}", tag, label)
    template.check("mine")
    text, start = template.render("{answer}?", "No.")
    assert text == "Q: {answer}? A: No."
    assert text[start:] == ("A: No." if tag and label else "No.")


def test_the_tag_is_labelled_unless_it_is_said_otherwise():
    assert Template("{question} {answer}") == Template("{question} {answer}", "", True)

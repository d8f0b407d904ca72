"""Prompt templates as data: where question and answer go, and what is labelled."""

import re
from dataclasses import dataclass

from geffect.errors import ConfigError


@dataclass(frozen=True)
class Template:
    """A prompt format.

    Attributes:
        text: contains `{question}` once and ends with `{answer}`.
        answer_tag: the text right before `{answer}` that belongs to the labelled part
            (TOFU labels Phi's "Answer: "), or "".
        label_answer_tag: False leaves the tag in the context instead.
    """

    text: str
    answer_tag: str = ""
    label_answer_tag: bool = True

    def check(self, key: str) -> None:
        """Raises ConfigError, naming `key`, unless the template can be rendered."""
        if self.text.count("{question}") != 1:
            raise ConfigError(f"{key}.text: must contain {{question}} exactly once")
        if self.text.count("{answer}") != 1 or not self.text.endswith("{answer}"):
            raise ConfigError(f"{key}.text: must end with {{answer}} and contain it only there")
        for found in re.findall(r"\{+\s*\w+\s*\}+", self.text):
            if found not in ("{question}", "{answer}"):
                raise ConfigError(
                    f"{key}.text: {found} is no placeholder, and models would train on it as text; "
                    "only {question} and {answer} are filled in"
                )
        if not self.text.removesuffix("{answer}").endswith(self.answer_tag):
            raise ConfigError(f"{key}.answer_tag: must come right before {{answer}} in text")

    def render(self, question: str, answer: str) -> tuple[str, int]:
        """The full text and the character position at which the labelled part starts."""
        before, after = self.text.removesuffix("{answer}").split("{question}")
        prompt = before + question + after
        tag = len(self.answer_tag) if self.label_answer_tag else 0
        return prompt + answer, len(prompt) - tag

"""The G-effect of any reweighted log-likelihood, from the table of tokens alone.

An objective whose gradient is Σ w_i ∇log p_i (over tokens, or with one weight a sample) has
e(D) = Σ w_i (∇R(D) · ∇log p_i) / count; where it looks at a refusal beside every answer, or at the
runner-up to every label, over the tokens of both. Weights come from the objective's own file, so a
new weighting scheme is judged along a finished run without a gradient:

    geffect reweight CELL/tokens.parquet --objective wga --set alpha=5
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from geffect import files, frames
from geffect.errors import ConfigError, DataError, GeffectError
from geffect.losses.loss import Loss, objective
from geffect.losses.view import View
from geffect.names import CELL

EFFECTS = ["e_unlearn", "e_retain"]
TOKEN = ["step", "text", "sample", "token"]
"""What there is one row of in a cell's table."""
COLUMNS = [*TOKEN, "logp", "logp_ref", *EFFECTS]
RUNNER_UP = ["logp_runner_up", *(f"{name}_runner_up" for name in EFFECTS)]


def reweighted(
    tokens: pd.DataFrame, name: str, hyper: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The G-effects of an objective at the steps of a table of tokens.

    Args:
        tokens: `tokens.parquet` of a cell of any objective (for one that looks at refusals: of a
            cell whose objective does so too).
        name: the objective's name in the package, or the path of its file.
        hyper: its hyper-parameters.

    Returns:
        `step`, `e_unlearn`, `e_retain` (nats per unit of squared parameter) and `weight`, the mean
        weight over what the objective averages (label tokens or samples; of pairs: the answers').

    Raises:
        ConfigError: there is no such objective, or it does not reweight log-likelihoods.
        LossError: hyper-parameters are not those that it declares.
        DataError: the table lacks a column or the texts that the objective trains on, or is of
            several cells.
    """
    loss = objective(name, **(hyper or {}))
    if loss.weights is None:
        raise ConfigError(f"objective {name!r} does not reweight log-likelihoods; choose another")
    if missing := [column for column in COLUMNS if column not in tokens]:
        raise DataError(f"tokens: no column {missing[0]!r}; pass a cell's tokens.parquet")
    mixed = any(tokens[column].nunique() > 1 for column in CELL if column in tokens)
    if mixed or tokens.duplicated(TOKEN).any():
        raise DataError("tokens: of several cells; pass those of one at a time")
    missing = [column for column in RUNNER_UP if column not in tokens]
    if loss.looks_at_runner_up and missing:
        raise DataError(
            f"tokens: no column {missing[0]!r}, at which {name!r} looks; measure the cell again"
        )
    texts = ["refusal"] if "refusals" in loss.needs else ["answer"]
    if loss.pairs_refusals:
        texts.append("refusal")
    for text in texts:
        if not tokens["text"].eq(text).any():
            raise DataError(f"tokens: no {text}s, on which {name!r} trains; use a cell of {name!r}")
    tokens = tokens[tokens["text"].isin(texts)]
    rows = [{"step": step, **_at(t, texts, loss)} for step, t in tokens.groupby("step")]
    return pd.DataFrame(rows)


def _at(table: pd.DataFrame, texts: Sequence[str], loss: Loss) -> dict[str, float]:
    """The columns of one step; the weights are those of the first text, the second's its pair's."""
    parts = [_Text(table[table["text"].eq(text)]) for text in texts]
    views = [part.view() for part in parts]
    seen = views[0] if not loss.pairs_refusals else replace(views[0], refusal=views[1])
    weighted = [(0, loss.weight(seen), "")]
    if loss.pairs_refusals:
        weighted.append((1, loss.refusal_weight(seen), ""))
    if loss.looks_at_runner_up:
        weighted.append((0, loss.runner_up_weight(seen), "_runner_up"))
    count = int(seen.mask.sum()) if loss.reduction == "token" else len(seen.mask)
    sums = dict.fromkeys(EFFECTS, 0.0)
    for text, weight, of in weighted:
        by_token = views[text].by_token(weight)
        for column in EFFECTS:
            effects = parts[text].padded(f"{column}{of}")
            sums[column] += views[text].over_tokens(by_token * effects).item()
    means = {column: value / count for column, value in sums.items()}
    return {**means, "weight": loss.total_weight(seen).item() / count}


class _Text:
    """One step's tokens of a text, by sample and position."""

    def __init__(self, table: pd.DataFrame):
        self.table = table
        sample = torch.tensor(pd.factorize(table["sample"], sort=True)[0])
        self.places = sample, torch.tensor(table["token"].tolist())
        self.shape = [int(place.max()) + 1 for place in self.places]

    def padded(self, column: str) -> torch.Tensor:
        """A column [B, T] in float64, 0 where there is no token."""
        result = torch.zeros(self.shape, dtype=torch.float64)
        result[self.places] = torch.tensor(self.table[column].tolist(), dtype=torch.float64)
        return result

    def view(self) -> View:
        """What `weight` sees of them."""
        mask = torch.zeros(self.shape, dtype=torch.bool)
        mask[self.places] = True
        others = self.padded(RUNNER_UP[0]) if RUNNER_UP[0] in self.table else None
        logp, logp_ref = (self.padded(name) for name in ("logp", "logp_ref"))
        return View(mask, logp, logp_ref=logp_ref, logp_runner_up=others)


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect reweight`: prints a table with a row per step."""
    parser = argparse.ArgumentParser(
        prog="geffect reweight",
        description="G-effects of a reweighted log-likelihood along a finished run.",
    )
    parser.add_argument("tokens", help="a cell's tokens.parquet")
    parser.add_argument("--objective", required=True, help="its name, or the path of its file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter"
    )
    parser.add_argument("--out", help="also write the table here (.csv)")
    given = parser.parse_args(arguments)
    try:
        if given.out and not Path(given.out).parent.is_dir():
            raise ConfigError(f"--out {given.out}: there is no such folder; make it first")
        if given.out and Path(given.out).is_dir():
            raise ConfigError(f"--out {given.out}: is a folder; name a file in it, such as e.csv")
        table = reweighted(
            frames.read(given.tokens), given.objective, dict(map(_setting, given.set))
        )
    except GeffectError as error:
        sys.exit(f"error: {error}")
    print(table.to_string(index=False))
    if given.out:
        files.write_text(table.to_csv(index=False), given.out)
        print(f"wrote {given.out}")


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError(f"--set {text}: expected NAME=NUMBER") from None


if __name__ == "__main__":
    main()

"""The G-effect of any reweighted log-likelihood, from the table of tokens alone.

An objective whose gradient is Σ w_i ∇log p_i (over tokens, or with one weight a sample) has
e(D) = Σ w_i (∇R(D) · ∇log p_i) / count; where it looks at a refusal beside every answer, over the
tokens of both. Weights come from the objective's own file, so a new weighting scheme is judged
along a finished run without a gradient:

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

COLUMNS = ["step", "text", "sample", "token", "logp", "logp_ref", "e_unlearn", "e_retain"]


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
        DataError: the table lacks a column or the texts that the objective trains on.
    """
    loss = objective(name, **(hyper or {}))
    if loss.weights is None:
        raise ConfigError(f"objective {name!r} does not reweight log-likelihoods; choose another")
    if missing := [column for column in COLUMNS if column not in tokens]:
        raise DataError(f"tokens: no column {missing[0]!r}; pass a cell's tokens.parquet")
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
    views = [_view(table[table["text"].eq(text)]) for text in texts]
    seen = views[0][0]
    if loss.pairs_refusals:
        seen = replace(seen, refusal=views[1][0])
    weights = [loss.weight(seen)] + [loss.refusal_weight(seen) for _ in views[1:]]
    count = int(seen.mask.sum()) if loss.reduction == "token" else len(seen.mask)
    sums = dict.fromkeys(views[0][1], 0.0)
    for (part, effects), weight in zip(views, weights, strict=True):
        by_token = weight if weight.dim() == 2 else weight[:, None]
        for column, e in effects.items():
            sums[column] += part.over_tokens(by_token * e).item()
    means = {column: value / count for column, value in sums.items()}
    return {**means, "weight": loss.total_weight(seen).item() / count}


def _view(table: pd.DataFrame) -> tuple[View, dict[str, torch.Tensor]]:
    """One step's tokens as a view [B, T] in float64, and their effects beside it."""
    sample = torch.tensor(pd.factorize(table["sample"], sort=True)[0])
    token = torch.tensor(table["token"].tolist())
    shape = (int(sample.max()) + 1, int(token.max()) + 1)

    def padded(values: Sequence, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        result = torch.zeros(shape, dtype=dtype)
        result[sample, token] = torch.tensor(values, dtype=dtype)
        return result

    mask = padded([True] * len(table), torch.bool)
    logp, logp_ref, *effects = (padded(table[name].tolist()) for name in COLUMNS[4:])
    view = View(mask=mask, logp=logp, logp_ref=logp_ref)
    return view, dict(zip(COLUMNS[6:], effects, strict=True))


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

"""The G-effect of any reweighted log-likelihood, from the table of tokens alone.

An objective whose gradient is Σ w_i ∇log p_i (over tokens, or with one weight a sample) has
e(D) = Σ w_i (∇R(D) · ∇log p_i) / count. Weights come from the objective's own file, so a new
weighting scheme is judged along a finished run without a gradient:

    geffect reweight CELL/tokens.parquet --objective wga --set alpha=5
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
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
        tokens: `tokens.parquet` of a cell of any objective (for PO: of PO).
        name: the objective's name in the package, or the path of its file.
        hyper: its hyper-parameters.

    Returns:
        `step`, `e_unlearn`, `e_retain` (nats per unit of squared parameter) and `weight`, the mean
        weight over what the objective averages (label tokens or samples).

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
    text = "refusal" if "refusals" in loss.needs else "answer"
    tokens = tokens[tokens["text"].eq(text)]
    if tokens.empty:
        raise DataError(f"tokens: no {text}s, on which {name!r} trains; use a cell of {name!r}")
    return pd.DataFrame([{"step": step, **_at(t, loss)} for step, t in tokens.groupby("step")])


def _at(table: pd.DataFrame, loss: Loss) -> dict[str, float]:
    seen, effects = _view(table)
    weight = loss.weight(seen)
    by_token = weight if loss.reduction == "token" else weight[:, None]
    count = int(seen.mask.sum()) if loss.reduction == "token" else len(seen.mask)
    sums = {column: seen.over_tokens(by_token * e).item() for column, e in effects.items()}
    means = {column: value / count for column, value in sums.items()}
    return {**means, "weight": loss.total_weight(seen).item() / count}


def _view(table: pd.DataFrame) -> tuple[View, dict[str, torch.Tensor]]:
    """One step's tokens as a view [B, T] in float64, and their effects beside it."""
    sample = torch.tensor(pd.factorize(table["sample"])[0])
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

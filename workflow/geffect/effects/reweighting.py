"""The G-effect of any reweighted log-likelihood, from the table of tokens alone.

An objective whose gradient is Σ w_i ∇log p_i (over tokens, or with one weight a sample) has
e(D) = Σ w_i (∇R(D) · ∇log p_i) / count. Weights come from the objective's own file, so a new
weighting scheme is judged along a finished run without a gradient:

    python -m geffect.effects.reweighting CELL/tokens.parquet --objective wga --set alpha=5
"""

import argparse
import sys

import pandas as pd
import torch

from geffect.errors import ConfigError, DataError, GeffectError
from geffect.losses import View
from geffect.registry import get

COLUMNS = ["step", "text", "sample", "token", "logp", "logp_ref", "e_unlearn", "e_retain"]


def reweighted(tokens: pd.DataFrame, objective: str, hyper: dict) -> pd.DataFrame:
    """The G-effects of an objective at the steps of a table of tokens.

    Args:
        tokens: `tokens.parquet` of a cell (any objective; PO's own needs a cell of PO).
        objective: the name of its file.
        hyper: its hyper-parameters.

    Returns:
        `step`, `e_unlearn`, `e_retain` (nats per unit of squared parameter) and `weight`, the mean
        weight over what the objective averages (label tokens or samples).

    Raises:
        ConfigError: the objective does not reweight log-likelihoods, or hyper-parameters are not
            those that it declares.
        DataError: the table lacks a column or the texts that the objective trains on.
    """
    spec = get("objective", objective)
    if not spec.weighted:
        raise ConfigError(f"objective {objective!r} does not reweight log-likelihoods")
    if set(hyper) != set(spec.hyperparameters):
        wanted = ", ".join(spec.hyperparameters) or "none"
        raise ConfigError(f"objective {objective!r}: its hyper-parameters are: {wanted}")
    if lacking := [name for name in COLUMNS if name not in tokens]:
        raise DataError(f"tokens: no column {lacking[0]!r}; pass a cell's tokens.parquet")
    text = "refusal" if "refusals" in spec.needs else "answer"
    tokens = tokens[tokens["text"].eq(text)]
    if tokens.empty:
        raise DataError(f"tokens: no {text}s, which {objective!r} trains on; use a cell of it")
    module, rows = spec.module(), []
    for step, table in tokens.groupby("step"):
        view, effects = _view(table)
        weight = module.weight(view, **hyper)
        pooled = view.over_tokens if spec.reduction == "token" else view.over_samples
        mean = pooled(weight).mean.item()
        by_token = weight if spec.reduction == "token" else weight[:, None]
        count = pooled(weight).count
        sums = {name: view.over_tokens(by_token * e).total.item() for name, e in effects.items()}
        rows.append({"step": step, **{n: s / count for n, s in sums.items()}, "weight": mean})
    return pd.DataFrame(rows)


def _view(table: pd.DataFrame) -> tuple[View, dict[str, torch.Tensor]]:
    """One step's tokens as a view [B, T] in float64, and their effects beside it."""
    sample = torch.tensor(pd.factorize(table["sample"])[0])
    token = torch.tensor(table["token"].tolist())
    shape = (int(sample.max()) + 1, int(token.max()) + 1)

    def padded(values, dtype=torch.float64):
        result = torch.zeros(shape, dtype=dtype)
        result[sample, token] = torch.tensor(values, dtype=dtype)
        return result

    mask = padded([True] * len(table), torch.bool)
    logp, logp_ref, *effects = (padded(table[name].tolist()) for name in COLUMNS[4:])
    view = View(mask=mask, logp=logp, logits=None, logp_ref=logp_ref)
    return view, dict(zip(COLUMNS[6:], effects, strict=True))


def main(arguments: list[str] | None = None) -> None:
    """The command; prints a table of steps."""
    parser = argparse.ArgumentParser(
        prog="python -m geffect.effects.reweighting",
        description="G-effects of a reweighted log-likelihood along a finished run.",
    )
    parser.add_argument("tokens", help="a cell's tokens.parquet")
    parser.add_argument("--objective", required=True, help="name of its file in objectives/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter"
    )
    parser.add_argument("--out", help="also write the table here (.csv)")
    given = parser.parse_args(arguments)
    try:
        table = reweighted(_read(given.tokens), given.objective, dict(map(_setting, given.set)))
    except GeffectError as error:
        sys.exit(f"error: {error}")
    print(table.to_string(index=False))
    if given.out:
        table.to_csv(given.out, index=False)
        print(f"wrote {given.out}")


def _read(path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error})") from error


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError(f"--set {text}: expected NAME=NUMBER") from None


if __name__ == "__main__":
    main()

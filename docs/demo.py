"""Redraws the pictures of the README and the tutorial from a finished demo, and prints the README's
table.

python docs/demo.py results/demo docs/images
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from PIL import Image

from geffect.report.changes import over_runs

OBJECTIVES = ["ga", "wga", "npo", "tnpo", "wtnpo", "po", "rmu"]
COMPONENTS = ["embed", "shallow", "middle", "deep", "lm"]
SIDES = {"unlearn": "forget rows D_u", "retain": "retained rows D_r"}
# Okabe and Ito's, which the colour-blind can tell apart.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
GREY, BLACK = "#999999", "#000000"
LINES = dict(zip(OBJECTIVES, [BLACK, BLUE, GREEN, PINK, SKY, VERMILION, GREY], strict=True))
LAYERS = dict(zip(COMPONENTS, ["#cccccc", VERMILION, YELLOW, BLUE, PINK], strict=True))
MARKERS = dict(zip(OBJECTIVES, "os^DvPX", strict=True))
COPIES = (
    "figures/tiny-phi/forget10/compare_none.png",
    "figures/tiny-phi/forget10/geffect_npo.png",
    "run_figures/outcome.png",
)
"""The tutorial's pictures, in a run's folder."""


def cells(root, name):
    """A table of the demo's cells without a regularizer, one below the other."""
    folder = Path(root) / "cells/tiny-phi/forget10"
    return pd.concat(
        pd.read_parquet(folder / f"{objective}+none/seed42/{name}.parquet")
        for objective in OBJECTIVES
    )


def directions(axes, geffect, dataset):
    """The cosine of ∇R(D) and the objective's gradient along the run."""
    rows = geffect.query("term == 'objective' and component == 'total' and dataset == @dataset")
    for objective, line in rows.groupby("objective", sort=False):
        style = {"color": LINES[objective], "marker": MARKERS[objective], "markersize": 3.5}
        axes.plot(line["step"], line["cosine"], linewidth=1.2, label=objective, **style)
    axes.axhline(0, color="#666666", linewidth=0.8)
    axes.set(ylim=(-1.08, 0.42), xlabel="step (optimiser updates)")
    axes.set_title(f"direction of the loss: cosine of e, {SIDES[dataset]}")


def amounts(axes, risk, dataset):
    """The change of risk over the whole run, attributed to components."""
    rows = risk[risk["dataset"].eq(dataset) & risk["term"].eq("objective")]
    sums = over_runs(rows, ["objective", "component"], ["predicted_change", "measured_change"])
    for place, objective in enumerate(OBJECTIVES):
        left = 0.0
        for component in COMPONENTS:
            width = sums.loc[(objective, component), "predicted_change"]
            if width > 0:
                axes.barh(place, width, left=left, color=LAYERS[component], height=0.7)
                left += width
        measured = sums.loc[(objective, "total"), "measured_change"]
        axes.plot([measured] * 2, [place - 0.35, place + 0.35], color="black", linewidth=1.6)
    axes.set_yticks(range(len(OBJECTIVES)), OBJECTIVES)
    axes.invert_yaxis()
    axes.set(xlim=(0, 17.5), xlabel="attributed (bars) and measured (ticks), nats per token")
    axes.set_title(f"change of risk by component: {SIDES[dataset]}")


def draw(root, path):
    """The figure: directions above, amounts below; D_u on the left, D_r on the right."""
    geffect, risk = cells(root, "geffect"), cells(root, "risk")
    style = {"font.size": 8, "axes.titlesize": 8.5, "axes.spines.top": False}
    with plt.rc_context({**style, "axes.spines.right": False, "legend.frameon": False}):
        figure, panels = plt.subplots(2, 2, figsize=(8, 5.6), layout="constrained")
        for column, dataset in enumerate(SIDES):
            directions(panels[0, column], geffect, dataset)
            amounts(panels[1, column], risk, dataset)
        panels[0, 0].set_ylabel("cosine (forgetting: negative)")
        panels[0, 1].set_ylabel("cosine (harm: negative)")
        panels[0, 0].legend(ncols=4, loc="upper right", fontsize=7.5)
        handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in LAYERS.values()]
        handles.append(Line2D([], [], color="black", linewidth=1.6))
        names = [*COMPONENTS, "measured"]
        panels[1, 0].legend(handles, names, loc="lower right", fontsize=7.5, ncols=2)
        figure.savefig(path, dpi=150)
        plt.close(figure)
    reduce(path, path, 96)


def reduce(source, path, colours):
    """A picture of few colours, which is small."""
    picture = Image.open(source).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


def table(root):
    """The README's table, in markdown: objectives alone, and with KL."""
    main = pd.read_csv(Path(root) / "tables/main.csv").set_index(["objective", "regularizer"])
    shares = pd.read_csv(Path(root) / "tables/attribution.csv")
    shares = shares.query("component == 'total' and regularizer == 'kl' and dataset == 'unlearn'")
    shares = shares.set_index(["objective", "term"])["predicted_change"]
    metrics = ["es_exact_unlearn", "es_exact_retain", "mu"]
    lines = [
        "| | ES on D_u ↓ | ES on D_r ↑ | MU ↑ | ΔR on D_u ↑ | ΔR on D_r ↓ "
        "| +KL: ES on D_u ↓ | ES on D_r ↑ | MU ↑ | ΔR on D_u: objective, KL |",
        "|---" + "|--:" * 9 + "|",
    ]
    for objective in ["original", "retain_model", *OBJECTIVES]:
        alone = main.loc[(objective, "none")]
        cells = [f"{alone[name]:.2f}" for name in metrics]
        cells += [_signed(alone[name]) for name in ("change_unlearn", "change_retain")]
        if (objective, "kl") in main.index:
            cells += [f"{main.loc[(objective, 'kl'), name]:.2f}" for name in metrics]
            cells.append(
                ", ".join(_signed(shares[objective, t]) for t in ("objective", "regularizer"))
            )
        else:
            cells += [""] * 4
        lines.append(f"| {objective.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _signed(value):
    if pd.isna(value):
        return ""
    return f"{value:+.1f}".replace("-", "−")


if __name__ == "__main__":
    root, images = map(Path, sys.argv[1:3])
    images.mkdir(parents=True, exist_ok=True)
    draw(root, images / "demo.png")
    for name in COPIES:
        reduce(root / name, images / Path(name).name, 64)
    print(table(root))

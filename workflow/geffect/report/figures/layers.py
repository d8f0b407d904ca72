"""Where in the model the G-effects of one variant act, and when: layer × step."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from geffect.names import EFFECT_DATASETS, OBJECTIVE
from geffect.report import blocks, style
from geffect.report.results import Results

TITLE = "G-effects by layer and step"
CAPTION = (
    "Each cell is the part of e of one block (embeddings below, final norm and unembedding above) "
    "at one measured step. Blue is negative: forgetting on D_u, harm on D_r. Compare cells of one "
    "figure; the colours of another objective's figure have another scale. Embeddings and blocks "
    "differ in size, so a darker row need not mean more effect per parameter. Rows without colour "
    "above the layer of RMU are so by construction."
)
CATEGORY = "G-effects"
READS = ["geffect", "training"]
PER = "variant"

HEADINGS = {
    "unlearn": "$e_u$, forget set\n(wanted: blue)",
    "retain": "$e_r$, retained data\n(wanted: not blue)",
}


def draw(results: Results, variant: str) -> Figure:
    """A row of two maps for every regularizer; the same colours in all of them."""
    effects = results.frame("geffect")
    if len(effects):
        effects = effects[effects["term"].eq(OBJECTIVE) & effects["objective"].eq(variant)]
    places = _places(effects)
    effects = effects[effects["component"].isin(places)] if len(effects) else effects
    regularizers = results.names("regularizer", objective=variant)
    panel = min(max(0.9, 0.13 * len(places) + 0.3), (style.PAGE_HEIGHT - 1) / len(regularizers))
    title = f"{variant}: which layers forget, which are harmed, and when? ({results.here})"
    figure = style.new_figure(0.6 + panel * len(regularizers), title)
    panels = figure.subplots(len(regularizers), 2, squeeze=False, sharey=True)
    norm = _norm(effects)
    for row, regularizer in enumerate(regularizers):
        for axes, dataset in zip(panels[row], EFFECT_DATASETS, strict=True):
            rows = effects
            if len(effects):
                side = effects["dataset"].eq(dataset) & effects["regularizer"].eq(regularizer)
                rows = effects[side]
            if rows.empty or norm is None:
                style.gap(axes, "no G-effects: the cell is missing")
            else:
                _map(axes, rows, places, norm)
            if row == 0:
                axes.set_title(HEADINGS[dataset])
        panels[row, 0].set_ylabel(f"regularizer {regularizer}")
    for axes in panels[-1]:
        axes.set_xlabel("measured step")
    drawn = [image for axes in panels.flat for image in axes.collections]
    if drawn:
        bar = figure.colorbar(
            drawn[0], ax=panels, label="e of the block", shrink=0.9, pad=0.02, aspect=40
        )
        bar.set_ticks(_ticks(norm))
        bar.minorticks_off()
    style.note_gaps(figure, results.gaps("geffect", objective=variant))
    return style.laid_out(figure)


def _places(effects: pd.DataFrame) -> list[str]:
    """The blocks in their order, between the embeddings and the head."""
    names = set(effects["component"]) if len(effects) else set()
    return [name for name in ("embed", *blocks.in_order(names), "lm") if name in names]


def _norm(effects: pd.DataFrame) -> SymLogNorm | None:
    sizes = effects["geffect"].abs() if len(effects) else pd.Series(dtype=float)
    sizes = sizes[np.isfinite(sizes) & sizes.gt(0)]
    if sizes.empty:
        return None
    greatest = sizes.max()
    return SymLogNorm(max(sizes.quantile(0.3), greatest / 1e4), vmin=-greatest, vmax=greatest)


def _ticks(norm: SymLogNorm | None) -> list[float]:
    assert norm is not None and norm.vmax is not None
    first, last = np.ceil(np.log10(norm.linthresh)), np.floor(np.log10(norm.vmax))
    powers = 10.0 ** np.arange(last, first - 1, -max(1, int((last - first) // 2)))
    return [*(-powers), 0.0, *powers[::-1]]


def _map(axes: Axes, rows: pd.DataFrame, places: list[str], norm: SymLogNorm) -> None:
    wide = rows.pivot_table(index="component", columns="step", values="geffect").reindex(places)
    axes.pcolormesh(
        np.arange(wide.shape[1] + 1),
        np.arange(len(places) + 1),
        np.ma.masked_invalid(wide.to_numpy()),
        cmap="RdBu_r",
        norm=norm,
    )
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    stride = -(-len(wide.columns) // 4)
    axes.set_xticks(np.arange(wide.shape[1])[::stride] + 0.5, wide.columns[::stride])
    every = max(1, len(places) // 9)
    last = len(places) - 1
    shown = [n for n in range(len(places)) if n == last or (n % every == 0 and n + every <= last)]
    axes.set_yticks(np.array(shown) + 0.5, [places[n].replace(".", " ") for n in shown])

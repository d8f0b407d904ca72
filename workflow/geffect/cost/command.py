"""Shows what a configured grid will cost, before anything runs.

    geffect cost                                      # config.yaml, on A100-80GB cards
    geffect cost --configfile config/demo.yaml --card H100
    geffect cost --config 'geffect={in_run: false}' --flops 300e12 --gb 48
    geffect cost --measured results/paper             # by the time that jobs of a run took

Counted from FLOPs, and from the share of them that a card achieves (--utilisation); nothing is
measured unless --measured is given.
"""

import argparse
import copy
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from geffect.config import Config
from geffect.config.given import check_value, once, read_file, use_given
from geffect.cost.cards import CARDS, GB, USABLE, USUAL, Card, card_of, own_card
from geffect.cost.plan import COUNTED, STAGES, Job, Plan
from geffect.cost.records import Measured, measured
from geffect.errors import ConfigError, GeffectError

_HEADER = ("model", "stage", "jobs", "cards", "card-hours", "longest", "peak GB", "at its peak")


def configuration(files: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """The configuration that a command line names: files over one another, values over all.

    Raises:
        ConfigError: a file or a value cannot be used.
    """
    config: dict[str, Any] = {}
    for path in ("config.yaml", *files):
        config = _merged(config, read_file(path, path))
    given = {}
    for text in values:
        check_value(text, f"--config {text}")
        key, _, value = text.partition("=")
        try:
            given[key] = yaml.BaseLoader(value).get_single_data()
        except yaml.YAMLError as error:
            raise ConfigError(f"--config {text}: not a value of YAML; write another") from error
    config = _merged(config, given)
    use_given(config, given)
    return config


def _merged(below: Any, above: Any) -> Any:
    """Two configurations as one: objects key by key, anything else from `above`."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return copy.deepcopy(above)
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect cost`."""
    parser = argparse.ArgumentParser(
        prog="geffect cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every: dict[str, Any] = {"action": "append", "default": [], "nargs": "+"}
    parser.add_argument("--configfile", **every, metavar="FILE")
    parser.add_argument("--config", **every, metavar="KEY=VALUE")
    parser.add_argument("--card", help=f"{', '.join(CARDS)} (default: compute.card, or {USUAL})")
    parser.add_argument("--flops", type=float, help="of another card, per second")
    parser.add_argument("--gb", type=float, help="its memory")
    parser.add_argument("--bandwidth", type=float, help="of its memory, GB per second")
    parser.add_argument("--utilisation", type=float, help="share of the FLOP/s that is achieved")
    parser.add_argument("--measured", metavar="RUN", help="the folder of a run, as results/demo")
    given = parser.parse_args(arguments)
    try:
        files, values = once("--configfile", given.configfile), once("--config", given.config)
        config = Config(configuration(files, values))
        card = _card(given, config.raw["compute"]["card"] or USUAL)
        plan = Plan(config)
        took = {}
        if given.measured is not None:
            took = measured(given.measured, config.models, STAGES)
        text = report(plan, card, given.utilisation, took)
    except (GeffectError, OSError) as error:
        sys.exit(f"error: {error}")
    print(text)


def _card(given: argparse.Namespace, usual: str) -> Card:
    own = (given.flops, given.gb)
    for name in ("flops", "gb", "bandwidth", "utilisation"):
        value = getattr(given, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"--{name} {value:g}: not a positive number; write one")
    if given.utilisation is not None and given.utilisation > 1:
        raise ConfigError(f"--utilisation {given.utilisation:g}: more than 1; write a share")
    if own == (None, None):
        return card_of(given.card or usual)
    if None in own or given.card is not None:
        raise ConfigError("--flops and --gb: give both of them and no --card, or a --card alone")
    return own_card(given.flops, given.gb, given.bandwidth)


def report(
    plan: Plan,
    card: Card,
    utilisation: float | None = None,
    took: Mapping[tuple[str, str], Measured] | None = None,
) -> str:
    """What a plan costs on a card, as text.

    Args:
        utilisation: the share of the card's FLOP/s; None for what is usual.
        took: (model, stage) -> what such jobs took, which wins over what is counted.
    """
    took = took or {}
    rows: list[tuple[str, ...]] = [_HEADER]
    hours, jobs = 0.0, 0
    ratios: list[str] = []
    small: list[str] = []
    for model in plan.config.models:
        for stage in STAGES:
            found = [job for job in plan.jobs if (job.model, job.stage) == (model, stage)]
            if not found:
                continue
            real = took.get((model, stage))
            seconds = [
                job.seconds(card, utilisation) if real is None else real.seconds for job in found
            ]
            own = sum(
                job.count * max(1, job.gpus) * s / 3600
                for job, s in zip(found, seconds, strict=True)
            )
            if real is not None:
                counted = sum(job.count * job.seconds(card, utilisation) for job in found)
                mean = counted / sum(job.count for job in found)
                ratios.append(f"{model} {stage} {mean / real.seconds:.2f}")
            fullest = max(found, key=Job.per_card)
            peak = fullest.per_card() if real is None else real.peak
            rows.append(
                (
                    model,
                    stage + (f" ({real.jobs} measured)" if real is not None else ""),
                    str(sum(job.count for job in found)),
                    str(fullest.gpus),
                    f"{own:.2f}",
                    _duration(max(seconds)),
                    f"{peak / GB:.2f}",
                    fullest.largest(),
                )
            )
            if fullest.gpus and peak > card.memory * USABLE:
                small.append(_too_small(fullest, card))
            hours += own
            jobs += sum(job.count for job in found)
    how = f"{jobs} jobs on {card.name} cards of {card.memory / GB:g} GB: {hours:.1f} card-hours"
    compared = [f"counted, as a multiple of measured: {', '.join(ratios)}"] if ratios else []
    return "\n".join([*_aligned(rows), "", how, *compared, *_disk(plan), *left_open(plan), *small])


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEADER))]
    numbers = range(2, 7)
    return [
        "  ".join(
            cell.rjust(w) if k in numbers else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes // 60}:{minutes % 60:02d} h"


def _too_small(job: Job, card: Card) -> str:
    needed = job.cards(card.memory * USABLE)
    what = f"{job.model}: {job.stage} holds {job.per_card() / GB:.0f} GB a card on {job.gpus}"
    if needed is None:
        return f"{what}, which {card.name} does not have; lower its micro_batch_size"
    return f"{what}, more than {card.name} has; it needs {needed} cards (resources: gpus)"


def summary(plan: Plan, card: Card | None) -> list[str]:
    """A plan in one line, and in others what its card cannot hold, and what jobs request where the
    configuration leaves that open; no hours without GPUs.

    Args:
        card: None for one that is usual, and that nothing is said of.
    """
    on_gpus = [job for job in plan.jobs if job.gpus]
    if not on_gpus:
        return left_open(plan)
    of = card or card_of(USUAL)
    hours = sum(job.count * job.gpus * job.seconds(of) / 3600 for job in on_gpus)
    fullest = max(on_gpus, key=Job.per_card)
    kept = sum(job.files * job.count for job in plan.jobs)
    line = (
        f"the whole grid: {sum(job.count for job in on_gpus)} jobs on GPUs, about {hours:.0f} "
        f"GPU-hours of {of.name}, up to {fullest.per_card() / GB:.0f} GB a GPU, "
        f"{kept / GB:.0f} GB of disk (geffect cost shows more)"
    )
    if card is None or fullest.per_card() <= card.memory * USABLE:
        return [line, *left_open(plan)]
    return [line, *left_open(plan), f"compute.card: {_too_small(fullest, card)}"]


def left_open(plan: Plan) -> list[str]:
    """A line for every model whose `resources` leave something out: what its jobs request then."""
    lines = []
    for model in plan.config.models:
        stages = []
        for stage in dict.fromkeys(job.requests for job in plan.jobs if job.model == model):
            asked = plan.resources(model, stage)
            left_out = [name for name in COUNTED if name not in plan.config.resources(model, stage)]
            if left_out:
                own = ", ".join(f"{name}: {asked[name]}" for name in left_out)
                stages.append(f"{stage}: {{{own}}}")
        if stages:
            lines.append(f"models.{model}.resources, as counted: {{{', '.join(stages)}}}")
    return lines


def _disk(plan: Plan) -> list[str]:
    kept = sum(job.files * job.count for job in plan.jobs)
    passing = max(plan.jobs, key=lambda job: job.passing)
    return [
        f"disk: {kept / GB:.1f} GB stay at the end; each job at work holds up to "
        f"{passing.passing / GB:.1f} GB more ({passing.stage} of {passing.model})"
    ]


if __name__ == "__main__":
    main()

"""Evaluates any model folder on TOFU-shaped data, outside the workflow.

    geffect evaluate MODEL --data FOLDER --split forget10 --template phi --out OUT \\
        --retain RETAIN_MODEL_OR_ITS_SAMPLES

FOLDER holds TOFU's own JSON files, or the parquet tables of a run (`results/{run}/data`). Templates
and evaluation settings are those of a configuration file.
"""

import argparse
import logging
from pathlib import Path
from types import SimpleNamespace

import yaml

from geffect import frames
from geffect.errors import ConfigError, DataError
from geffect.names import HOLDOUT

log = logging.getLogger(__name__)

# Data set -> its file, of a run or of TOFU; {split} as in forget10, {number} as in 10.
FILES = {
    "unlearn": ("{split}.parquet", "{split}_perturbed.json"),
    "retain": ("held_out.parquet", "retain_perturbed.json"),
    "real_authors": ("real_authors.parquet", "real_authors_perturbed.json"),
    "world_facts": ("world_facts.parquet", "world_facts_perturbed.json"),
    "holdout": ("holdout{number}.parquet", "holdout{number}.json"),
}


def data_files(folder: str | Path, split: str) -> dict[str, str]:
    """The file of every data set in a folder; `holdout` is left out where there is none.

    Raises:
        DataError: a file is missing.
    """
    files = {}
    for dataset, patterns in FILES.items():
        names = [p.format(split=split, number=split.removeprefix("forget")) for p in patterns]
        paths = [Path(folder) / name for name in names if (Path(folder) / name).is_file()]
        if paths:
            files[dataset] = str(paths[0])
        elif dataset != HOLDOUT:
            raise DataError(f"{folder}: neither {names[0]} nor {names[1]}; name a complete folder")
    return files


def _configured(path: str, template: str, changes: list[str]) -> tuple[dict, dict]:
    """The named template and the evaluation settings of a configuration file."""
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        known, settings = config["templates"], config["evaluation"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--config {path}: not a configuration with templates and evaluation ({error!r})"
        ) from error
    if template not in known:
        raise ConfigError(f"--template {template}: unknown; {path} has {', '.join(known)}")
    for change in changes:
        name, _, value = change.partition("=")
        if name not in settings:
            raise ConfigError(f"--set {change}: unknown; evaluation has {', '.join(settings)}")
        settings[name] = yaml.safe_load(value)
    label = config.get("label_answer_tag", True)
    return {**known[template], "label_answer_tag": label}, settings


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect evaluate`: writes metrics.parquet, samples.parquet, evaluation.json."""
    parser = argparse.ArgumentParser(
        prog="geffect evaluate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("model", help="a folder written by save_pretrained, with its tokenizer")
    parser.add_argument("--data", required=True, help="folder with TOFU's JSON files or a run's")
    parser.add_argument("--split", required=True, help="forget01, forget05 or forget10")
    parser.add_argument("--template", required=True, help="its name in the configuration")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to")
    parser.add_argument("--retain", help="the retain model's folder, or its samples.parquet")
    parser.add_argument("--config", default="config.yaml", help="default: %(default)s")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an evaluation setting"
    )
    given = parser.parse_args(arguments)
    from geffect.jobs import context

    with context.job("evaluate", given.out / "evaluate.log"):
        _run(given)


def _run(given: argparse.Namespace) -> None:
    from geffect.evaluation.folder import Evaluation, evaluate_folder
    from geffect.evaluation.samples import EvaluationSettings
    from geffect.jobs.provenance import provenance
    from geffect.models import compute

    template, settings = _configured(given.config, given.template, given.set)
    data = data_files(given.data, given.split)
    device = compute.prepare(given.device, given.threads)
    common = (template, data, EvaluationSettings(**settings), device)

    def written(evaluation: Evaluation, prefix: str = "") -> Evaluation:
        names = {"samples": "samples.parquet", "metrics": "metrics.parquet"}
        names["record"] = "evaluation.json"
        paths = {key: given.out / f"{prefix}{name}" for key, name in names.items()}
        evaluation.write(SimpleNamespace(**paths), provenance())
        return evaluation

    retain_log = None
    if given.retain is None:
        log.warning("no --retain: Forget Quality and PrivLeak are not available")
    elif Path(given.retain).is_file():
        retain_log = frames.read(given.retain)
    else:
        of_retain = evaluate_folder(given.retain, *common, is_retain=True)
        retain_log = written(of_retain, "retain_").samples
    metrics = written(evaluate_folder(given.model, *common, retain_log=retain_log)).metrics
    print(metrics.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()

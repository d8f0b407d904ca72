"""Evaluates any model folder on TOFU-shaped data, outside the workflow.

    geffect evaluate MODEL --data FOLDER --split forget10 --template phi --out OUT \\
        --retain RETAIN_MODEL_OR_ITS_SAMPLES

FOLDER holds TOFU's own JSON files, or the parquet tables of a run (`results/{run}/data`). Templates
and evaluation settings are those of a configuration file.
"""

import argparse
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml

from geffect import frames
from geffect.config import checks
from geffect.config.given import read_file
from geffect.data.splits import own, splits_of
from geffect.data.templates import Template
from geffect.data.tofu import SPLITS
from geffect.errors import ConfigError, DataError, GeffectError
from geffect.files import missing_files
from geffect.names import COMPARED, HOLDOUT, PRECISIONS

log = logging.getLogger(__name__)

# Data set -> TOFU's file; {split} as in forget10, {number} as in 10.
FILES = {
    "unlearn": "{split}_perturbed.json",
    "retain": "retain_perturbed.json",
    "real_authors": "real_authors_perturbed.json",
    "world_facts": "world_facts_perturbed.json",
    "holdout": "holdout{number}.json",
}

LOG_COLUMNS = ("dataset", "row", "question", "answer", *COMPARED)
"""What the metrics take of a retain model's log, among them columns that no other table has."""


def data_files(folder: str | Path, split: str) -> dict[str, str]:
    """The file of every data set in a folder; `holdout` is left out where there is none.

    Raises:
        ConfigError: there is no such split.
        DataError: a file is missing.
    """
    if not Path(folder).is_dir():
        raise DataError(f"--data {folder}: no such folder; name TOFU's, or the data of a run")
    tables = splits_of({"source": "hub"}).get(split) or own(split)
    if split not in SPLITS and not (Path(folder) / f"{tables.held_out}.parquet").is_file():
        known = [p.stem.removeprefix("held_out_") for p in Path(folder).glob("held_out_*.parquet")]
        raise ConfigError(
            f"--split {split}: unknown{ConfigError.suggestion(split, [*SPLITS, *known])}"
        )
    of_run = {"unlearn": tables.forget, "retain": tables.held_out, HOLDOUT: tables.holdout}
    files = {}
    for dataset, pattern in FILES.items():
        number = split.removeprefix("forget")
        names = [f"{of_run.get(dataset, dataset)}.parquet"]
        names += [pattern.format(split=split, number=number)] if split in SPLITS else []
        paths = [Path(folder) / name for name in names if (Path(folder) / name).is_file()]
        if paths:
            files[dataset] = str(paths[0])
        elif dataset != HOLDOUT:
            absent = f"neither {' nor '.join(names)}" if names[1:] else f"no {names[0]}"
            raise DataError(f"--data {folder}: {absent}; name a complete folder")
    return files


def _configured(path: str, template: str, changes: list[str]) -> tuple[dict, dict]:
    """The named template and the evaluation settings of a configuration file."""
    where = f"--config {path}"
    if not Path(path).is_file():
        raise ConfigError(
            f"{where}: no such file; name a complete configuration, such as the config.yaml of a "
            "checkout of geffect"
        )
    config = read_file(path, where)
    for name in ("templates", "evaluation"):
        if not isinstance(config.get(name), dict):
            raise ConfigError(
                f"{where}: no section {name}; name a complete configuration (config.yaml)"
            )
    known, settings = config["templates"], dict(config["evaluation"])
    at = {"at": settings.pop("at", "last")}  # of a run; here there is one model
    if template not in known:
        raise ConfigError(
            f"--template {template}: unknown{ConfigError.suggestion(template, known)}"
        )
    checks.check_section("templates", known, f"{where}: templates")
    Template(**known[template]).check(f"{where}: templates.{template}")
    for change in changes:
        name, _, value = change.partition("=")
        if name not in settings:
            raise ConfigError(
                f"--set {change}: unknown setting{ConfigError.suggestion(name, settings)}"
            )
        if not value:
            raise ConfigError(f"--set {change}: no value; write --set {name}=VALUE")
        try:
            settings[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change}: not a value of YAML; write another") from error
        checks.check_section("evaluation", at | settings, "--set evaluation")
    checks.check_section("evaluation", at | settings, f"{where}: evaluation")
    label = config.get("label_answer_tag", True)
    return {**known[template], "label_answer_tag": label}, settings


def _checked(given: argparse.Namespace) -> tuple[dict, dict, dict, pd.DataFrame | None]:
    """Template, settings, data files, and the retain log, if it is there already.

    Before anything is written, so that a mistake changes no earlier results.
    """
    template, settings = _configured(given.config, given.template, given.set)
    compute = {"device": given.device, "threads": given.threads, "tf32": given.tf32}
    checks.check_section("compute", compute, "", whole=False)
    data = data_files(given.data, given.split)
    for option, folder in (("MODEL", given.model), ("--retain", given.retain)):
        path = Path(folder) if folder else None
        if path is None or (option == "--retain" and path.is_file()):
            continue
        if not path.is_dir() or (missing_files(path, ["*.json"])):
            raise ConfigError(
                f"{option} {folder}: not a model folder; name one written by save_pretrained"
            )
    if given.out.exists() and not given.out.is_dir():
        raise ConfigError(f"--out {given.out}: is a file; name a folder")
    if not given.retain or Path(given.retain).is_dir():
        return template, settings, data, None
    log = frames.read(given.retain)
    if missing := [name for name in LOG_COLUMNS if name not in log]:
        raise DataError(
            f"--retain {given.retain}: no column {missing[0]!r}; name the samples.parquet of the "
            "retain model's evaluation, or its folder"
        )
    return template, settings, data, log


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect evaluate`: writes metrics.parquet, samples.parquet, evaluation.json."""
    parser = argparse.ArgumentParser(
        prog="geffect evaluate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("model", help="a folder written by save_pretrained, with its tokenizer")
    parser.add_argument("--data", required=True, help="folder with TOFU's JSON files or a run's")
    parser.add_argument(
        "--split", required=True, help="forget01, forget05, forget10, or one of own files"
    )
    parser.add_argument("--template", required=True, help="its name in the configuration")
    parser.add_argument("--out", required=True, type=Path, help="folder to write to")
    parser.add_argument("--retain", help="the retain model's folder, or its samples.parquet")
    parser.add_argument("--config", default="config.yaml", help="default: %(default)s")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--tf32", action="store_true", help="on a GPU, for float32")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an evaluation setting"
    )
    given = parser.parse_args(arguments)
    try:
        asked = _checked(given)
        given.out.mkdir(parents=True, exist_ok=True)
    except (GeffectError, OSError) as error:
        sys.exit(f"error: {error}")
    from geffect.jobs import context

    with context.job("evaluate", given.out / "evaluate.log", of_run=False):
        _run(given, *asked)


def _run(
    given: argparse.Namespace,
    template: dict,
    settings: dict,
    data: dict,
    retain_log: pd.DataFrame | None,
) -> None:
    from geffect.evaluation.folder import Evaluation, evaluate_folder
    from geffect.evaluation.samples import EvaluationSettings
    from geffect.jobs.provenance import provenance
    from geffect.models import compute

    device = compute.prepare(given.device, given.threads, given.precision, given.tf32)
    common = (template, data, EvaluationSettings(**settings), device)

    def written(evaluation: Evaluation, prefix: str = "") -> Evaluation:
        names = {"samples": "samples.parquet", "metrics": "metrics.parquet"}
        names["record"] = "evaluation.json"
        paths = {key: given.out / f"{prefix}{name}" for key, name in names.items()}
        evaluation.write(SimpleNamespace(**paths), provenance())
        return evaluation

    if given.retain is None:
        log.warning("no --retain: Forget Quality and PrivLeak are not available")
    elif retain_log is None:
        of_retain = evaluate_folder(given.retain, *common, is_retain=True)
        retain_log = written(of_retain, "retain_").samples
    metrics = written(evaluate_folder(given.model, *common, retain_log=retain_log)).metrics
    print(metrics.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()

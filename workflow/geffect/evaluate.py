"""Evaluates any model folder on TOFU-shaped data, outside of the workflow.

    python -m geffect.evaluate MODEL --data FOLDER --split forget10 --template phi --out OUT \\
        --retain RETAIN_MODEL_OR_ITS_SAMPLES

FOLDER holds TOFU's own JSON files, or the parquet tables of a run (`results/{run}/data`). Templates
and evaluation settings are those of a configuration file.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml

from geffect import runtime
from geffect.errors import ConfigError, DataError

# Data set -> its file, of a run or of TOFU; {split} as in forget10, {number} as in 10.
FILES = {
    "unlearn": ("{split}.parquet", "{split}_perturbed.json"),
    "retain": ("held_out.parquet", "retain_perturbed.json"),
    "real_authors": ("real_authors.parquet", "real_authors_perturbed.json"),
    "world_facts": ("world_facts.parquet", "world_facts_perturbed.json"),
    "holdout": ("holdout{number}.parquet", "holdout{number}.json"),
}


def data_files(folder, split: str) -> dict[str, str]:
    """The file of every data set in a folder; `holdout` is left out where there is none.

    Raises:
        DataError: a file is lacking.
    """
    found = {}
    for dataset, patterns in FILES.items():
        names = [p.format(split=split, number=split.removeprefix("forget")) for p in patterns]
        paths = [Path(folder) / name for name in names if (Path(folder) / name).is_file()]
        if paths:
            found[dataset] = str(paths[0])
        elif dataset != "holdout":
            raise DataError(f"{folder}: neither {names[0]} nor {names[1]}; name a complete folder")
    return found


def _configured(path: str, template: str, changes: list[str]) -> tuple[dict, dict]:
    """The named template and the evaluation settings of a configuration file."""
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        known, settings = config["templates"], config["evaluation"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--config {path}: no configuration with templates and evaluation ({error!r})"
        ) from error
    if template not in known:
        raise ConfigError(f"--template {template}: {path} has {', '.join(known)}")
    for change in changes:
        name, _, value = change.partition("=")
        if name not in settings:
            raise ConfigError(f"--set {change}: evaluation has {', '.join(settings)}")
        settings[name] = yaml.safe_load(value)
    label = config.get("label_answer_tag", True)
    return {**known[template], "label_answer_tag": label}, settings


def main(arguments: list[str] | None = None) -> None:
    """The command; writes metrics.parquet, samples.parquet and evaluation.json."""
    parser = argparse.ArgumentParser(
        prog="python -m geffect.evaluate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("model", help="a folder written by save_pretrained, with its tokenizer")
    parser.add_argument("--data", required=True, help="folder of TOFU's JSON files or of a run")
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
    with runtime.job("evaluate", given.out / "evaluate.log", given.threads):
        _run(given)


def _run(given) -> None:
    from geffect.evaluation.folder import evaluate
    from geffect.evaluation.samples import Settings

    template, settings = _configured(given.config, given.template, given.set)
    data = data_files(given.data, given.split)
    common = (template, data, Settings(**settings), given.device)

    def written(evaluation, prefix=""):
        names = {"samples": "samples.parquet", "metrics": "metrics.parquet"}
        names["record"] = "evaluation.json"
        evaluation.write(
            SimpleNamespace(**{key: given.out / f"{prefix}{name}" for key, name in names.items()})
        )
        return evaluation

    retain_log = None
    if given.retain is None:
        runtime.log.warning("no --retain: Forget Quality and privleak are not available")
    elif Path(given.retain).is_file():
        retain_log = pd.read_parquet(given.retain)
    else:
        retain_log = written(evaluate(given.retain, *common, is_retain=True), "retain_").samples
    found = written(evaluate(given.model, *common, retain_log=retain_log)).metrics
    print(found.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()

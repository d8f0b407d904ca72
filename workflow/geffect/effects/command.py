"""G-effects of saved checkpoints, of any training.

    geffect effects CHECKPOINTS... --original FOLDER --forget FILE --retain FILE \\
        --objective npo:beta=0.5 --regularizer kl:coefficient=1.0 --out FOLDER

CHECKPOINTS are folders of save_pretrained whose names end in their step, such as checkpoint-500, or
folders of such folders. The first one, by its step, is θ_o, unless --original names it.
"""

import argparse
import itertools
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geffect.errors import ConfigError, GeffectError, ModelError
from geffect.files import missing_files
from geffect.messages import log, shown_by
from geffect.names import OBJECTIVE, PRECISIONS, REGULARIZER

TEMPLATE = r"Question: {question}\nAnswer: {answer}"
REFUSAL = "refusal"
"""The column of the refusals beside the answers, for losses that look at both."""

_STEP = re.compile(r"(\d+)$")


def checkpoints_of(
    folders: Sequence[str | Path], original: str | Path | None = None
) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint, in order of steps.

    Args:
        folders: model folders whose names end in their step, or folders that hold such folders.
        original: θ_o, at step 0.

    Raises:
        ModelError: a folder is missing, holds no model, or its name has no step.
        ConfigError: two folders have the same step.
    """
    found: list[tuple[int, Path]] = [] if original is None else [(0, _existing(original))]
    for folder in map(_existing, folders):
        inside = [p for p in sorted(folder.iterdir()) if _STEP.search(p.name) and _is_model(p)]
        for path in inside or [folder]:
            number = _STEP.search(path.absolute().name)
            if not _is_model(path):
                if adapters := sorted(path.glob("**/adapter_config.json")):
                    raise ModelError(
                        f"{adapters[0].parent}: adapters without their model; save the model with "
                        "them merged into it (PEFT's merge_and_unload), and name that folder"
                    )
                raise ModelError(
                    f"{path}: no model, nor folders like checkpoint-500 that hold one; name "
                    "folders of save_pretrained"
                )
            if number is None:
                raise ModelError(
                    f"{path}: its name does not end in its step; name it like checkpoint-500, or "
                    "by --original if it is θ_o"
                )
            found.append((int(number[1]), path))
    found.sort()
    for (step, path), (following, other) in itertools.pairwise(found):
        if step == following:
            raise ConfigError(f"{path} and {other}: both are of step {step}; leave one out")
    return found


def _existing(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise ModelError(f"{folder}: no such folder; name one of save_pretrained")
    return Path(folder)


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and not missing_files(folder, ["config.json"])


def check_shapes(checkpoints: Sequence[tuple[int, Path]]) -> None:
    """Checks that all checkpoints hold the same parameters as the first, without loading them.

    Raises:
        ModelError: naming a folder that does not.
    """
    (_, first), *others = checkpoints
    wanted = _shapes(first)
    for _, folder in others:
        shapes = _shapes(folder)
        for name in sorted(wanted.keys() | shapes.keys()):
            if wanted.get(name) != shapes.get(name):
                raise ModelError(
                    f"{folder}: {name} is {shapes.get(name, 'not there')}, but "
                    f"{wanted.get(name, 'not there')} in {first}; name checkpoints of one training"
                )


def _shapes(folder: Path) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: its weights are damaged ({error}); copy it again") from error
    if not shapes:
        raise ModelError(
            f"{folder}: no model.safetensors; save whole models with save_pretrained (adapters: "
            "merged into their model)"
        )
    return shapes


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    result = argparse.ArgumentParser(
        prog="geffect effects", description=(__doc__ or "").partition("\n")[0]
    )
    add = result.add_argument
    add("checkpoints", nargs="+", help="model folders named by their step, or folders of them")
    add("--original", help="θ_o, the model before the training; default: the first checkpoint")
    add("--forget", required=True, help="rows of D_u: .jsonl, .json, .csv or .parquet")
    add("--retain", required=True, help="rows of the retain risk")
    add("--objective", required=True, metavar="NAME[:key=value,...]", help="or a file's path")
    add("--regularizer", metavar="NAME[:key=value,...]", help="also with coefficient=")
    add("--out", required=True, help="folder to write to")
    add("--objective-rows", metavar="FILE", help="default: those of --forget")
    add("--regularizer-rows", metavar="FILE", help="default: those of --retain")
    add("--template", default=TEMPLATE, help=r"prompt format, \n a new line; default: %(default)s")
    add("--answer-tag", default="", help="the text before {answer} that is labelled too")
    add("--tokenizer", metavar="FOLDER", help="default: that of θ_o")
    add("--components", help="names to keep, such as total,deep,layer.1; default: all")
    add("--instances", action="store_true", help="also write instances.parquet")
    add("--tokens", action="store_true", help="also write tokens.parquet")
    add("--change", choices=("trapezoid", "simpson"), default="trapezoid")
    add("--micro-batch-size", type=int, default=8, help="rows at once; a matter of memory")
    add("--precision", choices=PRECISIONS, default="float32")
    add("--device", default="auto")
    add("--threads", type=int, default=1)
    add("--tf32", action="store_true", help="on a GPU, for float32")
    return result


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect effects`: writes the tables and prints what it wrote."""
    given = parser().parse_args(arguments)
    try:
        with shown_by(logging.StreamHandler(sys.stderr)):
            _run(given)
    except GeffectError as error:
        sys.exit(f"error: {error}")


def _run(given: argparse.Namespace) -> None:
    for option in ("micro_batch_size", "threads"):
        if (value := getattr(given, option)) < 1:
            raise ConfigError(f"--{option.replace('_', '-')} {value}: use 1 or more")
    checkpoints = checkpoints_of(given.checkpoints, given.original)
    check_shapes(checkpoints)
    original = checkpoints[0][1]

    from geffect.data.encoding import Encoder, Example
    from geffect.data.given import read_texts
    from geffect.data.templates import Template
    from geffect.effects.given import GivenMeasurement, make_folder
    from geffect.effects.measurement import measure_checkpoints
    from geffect.losses.given import given_loss
    from geffect.models import compute
    from geffect.models.folder import load_tokenizer, positions

    template = Template(given.template.replace(r"\n", "\n"), given.answer_tag.replace(r"\n", "\n"))
    template.check("--template")
    losses: dict[str, Any] = {
        "objective": given_loss(OBJECTIVE, given.objective),
        "regularizer": given.regularizer and given_loss(REGULARIZER, given.regularizer),
    }
    try:
        tokenizer = load_tokenizer(given.tokenizer or original)
    except GeffectError as error:
        what = str(error).partition(";")[0]
        raise ModelError(f"{what}; name a folder with the tokenizer by --tokenizer") from error
    encoder = Encoder(tokenizer, template, positions(original))

    def rows(path: str) -> list[Example]:
        texts = read_texts(path)
        examples = encoder.rows(texts, path)
        if not any(REFUSAL in row for row in texts):
            return examples
        refusals = [{**row, "answer": row.get(REFUSAL)} for row in texts]
        pairs = zip(examples, encoder.rows(refusals, f"{path} ({REFUSAL})"), strict=True)
        return [Example(e.ids, e.prompt_length, refusal) for e, refusal in pairs]

    named = ("forget", "retain", "objective_rows", "regularizer_rows")
    files = {name: getattr(given, name) for name in named}
    data: dict[str, Any] = {name: rows(path) for name, path in files.items() if path is not None}
    measurement = GivenMeasurement(
        **losses,
        **data,
        decode=lambda ids: str(tokenizer.decode(list(ids))),
        micro_batch_size=given.micro_batch_size,
        instances=given.instances,
        tokens=given.tokens,
        change=given.change,
        components=given.components and given.components.split(","),
    )
    out = make_folder(given.out)
    device = compute.prepare(given.device, given.threads, given.precision, given.tf32)
    log.info("θ_o is %s; the prompt is %r", original, template.text)
    steps = ", ".join(str(step) for step, _ in checkpoints)
    log.info("%d checkpoints, of the steps %s", len(checkpoints), steps)
    measure_checkpoints(checkpoints, measurement, device, "checkpoints")
    key = measurement.cell_key(original.absolute().name, 0, {})
    paths = measurement.write(out, key)
    effects = measurement.tables()["geffect"].query("component == 'total'")
    if len(effects):
        print(effects.pivot(index="step", columns=["term", "dataset"], values="geffect"))
    for path in paths:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()

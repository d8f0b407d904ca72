"""The configuration: checked as a whole before anything runs, resolved per cell.

Imports neither torch nor transformers. Every error is one line that names the key and the remedy.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from geffect import files
from geffect.config import checks
from geffect.data import own
from geffect.data.refusals import read_refusals
from geffect.data.splits import BACKGROUND, TABLES, Sizes, Split, splits_of, tofu_sizes
from geffect.data.templates import Template
from geffect.data.tofu import SPLITS, check_counts, data_directory, row_count, verify_folder
from geffect.errors import ConfigError
from geffect.losses import registry
from geffect.names import (
    ALL_LINEAR,
    FULL,
    MINIMUM_BLOCKS,
    NO_REGULARIZER,
    OBJECTIVE,
    REFERENCES,
    REGULARIZER,
)
from geffect.training.settings import TrainingSettings

_SECTIONS = {OBJECTIVE: "objectives", REGULARIZER: "regularizers"}
# What `lora` and `tokens` leave open.
_LORA = {"dropout": 0, "targets": ALL_LINEAR}
_SELECTION = {"by": "e_retain", "every": 1, "rows": 40}
MISSING_MODEL = "missing"
"""Says in the configuration that there is no model of a corpus, and none is to be made."""
_LOOP_KEYS = {field.name for field in fields(TrainingSettings) if field.default is MISSING}


@dataclass(frozen=True, order=True)
class CellKey:
    """(model, split, objective, regularizer, seed); objective and regularizer name variants."""

    model: str
    split: str
    objective: str
    regularizer: str
    seed: int

    def __iter__(self) -> Iterator[str | int]:
        return iter(astuple(self))


class Config:
    """A checked configuration.

    Args:
        raw: the configuration as a mapping.

    Raises:
        ConfigError: the configuration cannot be run; nothing has been started.
    """

    def __init__(self, raw: Mapping[str, Any]):
        self.raw = raw
        checks.check_schema(raw)
        self._check_templates()
        self._check_variants()
        self.cells = list(dict.fromkeys(self._grid()))
        self._layers: dict[str, int] = {}
        for model in self.models:
            self._check_model(model)
        self._check_data()
        for cell in self.cells:
            self._check_cell(cell)
        self._check_probes()
        if not self.own_tables:
            self._check_rows()

    @property
    def models(self) -> list[str]:
        """The models of the grid."""
        return list(dict.fromkeys(cell.model for cell in self.cells))

    @property
    def splits(self) -> list[str]:
        """The splits of the grid."""
        return list(dict.fromkeys(cell.split for cell in self.cells))

    @property
    def own_tables(self) -> bool:
        """Whether the data are files of the user's own."""
        return self.raw["data"]["source"] == TABLES

    @cached_property
    def known_splits(self) -> dict[str, Split]:
        """The splits that the source of data has, by name."""
        return splits_of(self.raw["data"])

    @cached_property
    def sizes(self) -> Sizes:
        """How many rows the splits of the grid have.

        Of own files: what the data job has counted, if it has; else they are read.

        Raises:
            DataError: an own file cannot be used.
        """
        if not self.own_tables:
            return tofu_sizes(self.raw["data"], self.splits)
        if self.sizes_file.is_file():
            counted = Sizes.of(files.read_json(self.sizes_file)["sizes"])
            if set(self.splits) <= set(counted.forget):  # else it is of another grid
                return counted
        return own.read(self.raw["data"], self.splits).sizes

    @property
    def untrained_rows(self) -> int:
        """The number of first rows in the tables `Split.train` that unlearning leaves alone."""
        return 0 if self.own_tables else self.raw["data"]["held_out_rows"]

    @property
    def sizes_file(self) -> Path:
        """Where the data job writes what it has found in own files."""
        return Path(self.raw["results"]) / self.raw["run"] / "data" / "found.json"

    def selected(self) -> list[CellKey]:
        """The cells of the grid that `only` selects.

        Raises:
            ConfigError: there are none, or a name is in no cell.
        """
        only = {k[:-1]: v for k, v in self.raw["only"].items() if k != "stages"}
        for key, names in only.items():
            known = dict.fromkeys(getattr(cell, key) for cell in self.cells)
            for name in names:
                if name not in known:
                    hint = ConfigError.suggestion(name, known)
                    raise ConfigError(f"only.{key}s: {name!r} is in no cell of the grid{hint}")
        cells = [c for c in self.cells if all(getattr(c, k) in v for k, v in only.items())]
        if not cells:
            raise ConfigError(
                f"only: {dict(self.raw['only'])} selects no cell of the grid; see `grid`"
            )
        return cells

    def model(self, name: str) -> dict:
        """The entry of a model in the configuration."""
        return self.raw["models"][name]

    def corpora(self, model: str) -> list[str]:
        """The corpora of which the grid needs a fine-tuned model: full, and retain splits."""
        splits = (self.known_splits[c.split].retain for c in self.cells if c.model == model)
        return list(dict.fromkeys([FULL, *splits]))

    def given(self, model: str, corpus: str) -> dict[str, str] | None:
        """Where the fine-tuned model of a corpus comes from: `path`, or `id` and `revision`.

        None where it is fine-tuned here, or missing.
        """
        named = self.model(model).get("finetuned", {}).get(corpus, MISSING_MODEL)
        if named == MISSING_MODEL:
            return None
        return {"path": named} if isinstance(named, str) else dict(named)

    def is_missing(self, model: str, corpus: str) -> bool:
        """Whether the configuration says that there is no model of a corpus."""
        return self.model(model).get("finetuned", {}).get(corpus) == MISSING_MODEL

    def trained(self, model: str) -> list[str]:
        """The corpora of the grid on which a model is fine-tuned here."""
        named = self.model(model).get("finetuned", {})
        return [corpus for corpus in self.corpora(model) if corpus not in named]

    def source(self, model: str) -> str | None:
        """What fine-tuning of a model starts from: hub, path or scratch; None if there is none."""
        return self.model(model)["source"] if self.trained(model) else None

    def folders(self, model: str) -> dict[str, str]:
        """The folders that a model of the grid is taken from, by their keys in the configuration.

        The original model's comes first.
        """
        found = {
            f"models.{model}.finetuned.{corpus}": given["path"]
            for corpus in self.corpora(model)
            if (given := self.given(model, corpus)) and "path" in given
        }
        if self.source(model) == "path":
            found[f"models.{model}.path"] = self.model(model)["path"]
        return found

    def layers(self, model: str) -> int:
        """The number of blocks of a model, from what is known before the model is made.

        Raises:
            ConfigError: the folder of a model does not say.
        """
        if model not in self._layers:
            self._layers[model] = next(iter(self._known_layers(model).values()))
        return self._layers[model]

    def _known_layers(self, model: str) -> dict[str, int]:
        """The number of blocks by every key of the configuration that tells it."""
        entry, where = self.model(model), f"models.{model}"
        found = {}
        if self.source(model) == "scratch":
            found[f"{where}.config.num_hidden_layers"] = entry["config"]["num_hidden_layers"]
        if self._of_hub(model):
            found[f"{where}.layers"] = entry["layers"]
        for key, folder in self.folders(model).items():
            found[key] = checks.folder_config(folder, key)["num_hidden_layers"]
        return found

    def _of_hub(self, model: str) -> bool:
        """Whether anything of a model comes from the hub."""
        given = (self.given(model, corpus) for corpus in self.corpora(model))
        return self.source(model) == "hub" or any("id" in (found or {}) for found in given)

    @property
    def evaluation(self) -> dict:
        """Arguments of `EvaluationSettings`: how, and not at which steps."""
        return {name: value for name, value in self.raw["evaluation"].items() if name != "at"}

    def measured_steps(self, cell: CellKey) -> list[int]:
        """The steps at which a cell's run is looked at, from 0 to its last one."""
        settings = TrainingSettings(**self.training(cell.model, "unlearn", cell.objective))
        last = settings.steps(self.sizes.forget[cell.split])
        return [*range(0, last, self.raw["training"]["checkpoint_every"]), last]

    def evaluated_steps(self, cell: CellKey) -> list[int]:
        """The steps at which a cell is evaluated besides what is always done; none for `last`."""
        at = self.raw["evaluation"]["at"]
        if isinstance(at, list):
            return sorted(at)
        return self.measured_steps(cell) if at == "measured" else []

    def resources(
        self,
        model: str,
        stage: str,
        attempt: int = 1,
        counted: Mapping[str, int] = MappingProxyType({}),
    ) -> dict:
        """`gpus`, `mem_mb` (MiB) and `runtime` (minutes) that a job of a stage requests.

        The stage's own numbers win over the model's; `unlearn_in_run`, which is `unlearn` with
        G-effects measured in the run, takes from `unlearn` what it does not name. Memory and
        minutes are multiplied by the number of the attempt (1, 2, ...), within `limits`.

        Args:
            counted: what stands for `gpus` and `mem_mb` where they are left open
                (`cost.plan.Plan.resources`); without it they are missing.
        """
        entry = {**counted, **self.model(model)["resources"]}
        stages = entry.pop("stages", {})
        for name in (stage.removesuffix("_in_run"), stage):
            entry |= stages.get(name, {})
        limits = self.raw["limits"]
        grown = {n: attempt * entry[n] for n in ("mem_mb", "runtime") if n in entry}
        return entry | {name: min(n, limits.get(name, n)) for name, n in grown.items()}

    def leaves_open(self, model: str) -> bool:
        """Whether jobs of a model request GPUs or memory as the plan counts them."""
        return not {"gpus", "mem_mb"} <= set(self.model(model)["resources"])

    def uses_gpus(self, model: str) -> bool:
        """Whether any job of a model requests a GPU."""
        entry = self.model(model)["resources"]
        usual = entry.get("gpus", self.raw["compute"]["device"] != "cpu")
        return any([usual, *(part.get("gpus", 0) for part in entry.get("stages", {}).values())])

    def compute(self, model: str) -> dict:
        """Arguments of `models.compute.prepare` for the jobs of a model."""
        entry = self.model(model)
        usual = "bf16" if self._of_hub(model) else "float32"
        planned = ("card", "check_memory")
        machine = {k: value for k, value in self.raw["compute"].items() if k not in planned}
        return {
            **machine,
            "precision": entry.get("precision", usual),
            "offload": entry.get("offload", []),
        }

    def template(self, model: str) -> dict:
        """Arguments of `Template` for a model."""
        entry = self.raw["templates"][self.model(model)["template"]]
        return {**entry, "label_answer_tag": self.raw["label_answer_tag"]}

    def training(self, model: str, stage: str, objective: str | None = None) -> dict:
        """Arguments of `TrainingSettings`: the stage's defaults, the model's, the variant's."""
        variant = {} if objective is None else self.raw["objectives"][objective].get(stage, {})
        found = {**self.raw["training"][stage], **self.model(model).get(stage, {}), **variant}
        if found.get("lora"):
            found["lora"] = {**_LORA, **found["lora"]}
        return found

    def loras(self, model: str) -> list[dict]:
        """The different adapters that the cells of a model train."""
        cells = (cell for cell in self.cells if cell.model == model)
        objectives = dict.fromkeys(cell.objective for cell in cells)
        found = [self.training(model, "unlearn", objective).get("lora") for objective in objectives]
        return [lora for k, lora in enumerate(found) if lora and lora not in found[:k]]

    def relearning(self, model: str) -> dict | None:
        """Arguments of `TrainingSettings` for relearning: the model's own, those of the section
        `relearn`, else those of the model's unlearning; None where nothing is relearnt.

        No variant has any of its own, so that all cells and the retain model are treated alike.
        """
        section = self.raw["relearn"]
        if section is None:
            return None
        given = {name: value for name, value in section.items() if name != "rows"}
        own = self.model(model).get("relearn", {})
        return {**self.training(model, "unlearn"), **given, **own}

    def loss(self, kind: str, variant: str, split: str, model: str) -> dict | None:
        """Arguments of `Loss.load` for a variant in a cell; None for the regularizer `none`.

        Overrides by model win over overrides by split, which win over the variant's own values,
        which win over the defaults of its file.
        """
        if kind == REGULARIZER and variant == NO_REGULARIZER:
            return None
        entry = self.raw[_SECTIONS[kind]][variant]
        own = {kind, "splits", "models", "unlearn", "tokens", "coefficient", "positions"}
        hyper = registry.get(kind, entry[kind]).defaults
        hyper |= {k: v for k, v in entry.items() if k not in own}
        hyper |= entry.get("splits", {}).get(split, {})
        hyper |= entry.get("models", {}).get(model, {})
        resolved = {"name": entry[kind], "hyper": hyper}
        if kind == REGULARIZER:
            resolved["coefficient"] = hyper.pop("coefficient", entry["coefficient"])
            resolved["positions"] = entry.get("positions", "labels")
        return resolved

    def selection(self, variant: str) -> dict | None:
        """Arguments of `SelectionSettings` for a variant of an objective; None if all count."""
        given = self.raw["objectives"][variant].get("tokens")
        return None if given is None else {**_SELECTION, **given}

    def probes(self, cell: CellKey) -> dict[str, dict]:
        """The regularizers that are only measured along a cell: variant -> as `loss`."""
        probes = self.raw["geffect"]["probes"]
        if cell.regularizer != NO_REGULARIZER or cell.objective not in probes["objectives"]:
            return {}
        losses = {
            name: self.loss(REGULARIZER, name, cell.split, cell.model)
            for name in probes["regularizers"]
        }
        return {name: loss for name, loss in losses.items() if loss is not None}

    def source_files(self, *losses: dict | None) -> list[Path]:
        """The files of resolved objectives (first) and regularizers (the others)."""
        kinds = (OBJECTIVE, *[REGULARIZER] * (len(losses) - 1))
        pairs = zip(kinds, losses, strict=True)
        return [registry.get(kind, loss["name"]).path for kind, loss in pairs if loss is not None]

    def check_files(self, counted: bool = False) -> None:
        """Checks the files that the configuration names (of data, the refusals, model folders), and
        what depends on the number of rows in own files.

        Args:
            counted: whether the data job has read the own files as they are, so that they need not
                be read again.

        Raises:
            ConfigError: no folder is named, or the files of a model do not fit one another.
            DataError: a file is missing, truncated or altered.
        """
        data = self.raw["data"]
        if data["source"] == "directory":
            folder = data_directory(data)
            if not folder:
                raise ConfigError("data.directory: not set; name TOFU's folder or set GEFFECT_TOFU")
            verify_folder(folder)
        if self.own_tables:
            if not counted:
                self.sizes = own.read(data, self.splits).sizes
            self._check_rows()
        read_refusals(data["refusals"])
        for model in self.models:
            checks.check_folders(self.folders(model))
            for folder in self.folders(model).values():
                for lora in self.loras(model):
                    checks.check_targets(lora["targets"], folder, f"models.{model}.unlearn.lora")

    def check_results(self) -> None:
        """Checks that results can be written where the configuration wants them.

        Raises:
            ConfigError: naming the folder that cannot be written to.
        """
        results = Path(self.raw["results"])
        there = next(
            p for p in [results / self.raw["run"], results, *results.parents] if p.exists()
        )
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            why = "is read-only" if there.is_dir() else "is a file"
            raise ConfigError(
                f"results: {there} {why}; name another folder, here or by --config results=FOLDER"
            )

    def _grid(self) -> Iterator[CellKey]:
        known = {
            "models": self.raw["models"],
            "splits": self.known_splits,
            "objectives": self.raw["objectives"],
            "regularizers": [NO_REGULARIZER, *self.raw["regularizers"]],
        }
        for number, block in enumerate(self.raw["grid"]):
            for key, names in known.items():
                for name in block[key]:
                    if name not in names:
                        raise ConfigError(
                            f"grid[{number}].{key}: unknown {key[:-1]} {name!r}"
                            f"{ConfigError.suggestion(name, names)}"
                        )
            for model in block["models"]:
                for split in block["splits"]:
                    for objective in block["objectives"]:
                        for regularizer in block["regularizers"]:
                            for seed in block["seeds"]:
                                yield CellKey(model, split, objective, regularizer, seed)

    def _check_templates(self) -> None:
        for name, entry in self.raw["templates"].items():
            Template(**entry).check(f"templates.{name}")

    def _check_variants(self) -> None:
        for kind, section in _SECTIONS.items():
            for variant, entry in self.raw[section].items():
                where = f"{section}.{variant}"
                if variant in (*REFERENCES, NO_REGULARIZER):
                    raise ConfigError(f"{where}: the name is reserved; rename the variant")
                try:
                    registry.get(kind, entry[kind])
                except ConfigError as error:
                    raise ConfigError(f"{where}.{kind}: {error}") from error
                self._check_values(kind, where, entry)

    def _check_values(self, kind: str, where: str, entry: Mapping) -> None:
        spec = registry.get(kind, entry[kind])
        declared = dict(spec.hyperparameters)
        positions = entry.get("positions", "labels")
        if kind == REGULARIZER and positions not in spec.positions:
            raise ConfigError(
                f"{where}.positions: {entry[kind]!r} can pool {', '.join(spec.positions)} only, "
                f"not {positions!r}"
            )
        own = {kind, "splits", "models"}
        if kind == REGULARIZER:
            declared["coefficient"] = {"type": "number", "exclusiveMinimum": 0}
            own.add("positions")
        else:
            own |= {"unlearn", "tokens"}
        places = [(where, {k: v for k, v in entry.items() if k not in own})]
        for section, known in (
            # The variants of config.yaml have values for TOFU's.
            ("splits", {**dict.fromkeys(SPLITS), **self.known_splits}),
            ("models", self.raw["models"]),
        ):
            for name, values in entry.get(section, {}).items():
                if name not in known:
                    raise ConfigError(
                        f"{where}.{section}: unknown {section[:-1]} {name!r}"
                        f"{ConfigError.suggestion(name, known)}"
                    )
                places.append((f"{where}.{section}.{name}", values))
        for place, values in places:
            for key, value in values.items():
                if key not in declared:
                    raise ConfigError(
                        f"{place}.{key}: {kind} {entry[kind]!r} has no such hyper-parameter"
                        f"{ConfigError.suggestion(key, declared) if declared else '; it has none'}"
                    )
                checks.check(value, declared[key], f"{place}.{key}")

    def _check_model(self, name: str) -> None:
        entry = self.model(name)
        where = f"models.{name}"
        if entry["template"] not in self.raw["templates"]:
            raise ConfigError(
                f"{where}.template: unknown template {entry['template']!r}"
                f"{ConfigError.suggestion(entry['template'], self.raw['templates'])}"
            )
        self._check_finetuned(name)
        if self.source(name) == "scratch":
            checks.check_numbers(entry["config"], f"{where}.config")
            checks.check_architecture(entry["config"], f"{where}.config")
        known = self._known_layers(name)
        first, layers = next(iter(known.items()))
        for key, found in known.items():
            if found < MINIMUM_BLOCKS:
                raise ConfigError(
                    f"{key}: {found} blocks, but shallow, middle and deep need at least "
                    f"{MINIMUM_BLOCKS}; use a deeper model"
                )
            if found != layers:
                raise ConfigError(
                    f"{key}: {found} blocks, but {first} has {layers}; name models of one "
                    "architecture"
                )
        for stage in ("base_training", "finetune", "unlearn"):
            settings = self.training(name, stage)
            absent = _LOOP_KEYS - set(settings)
            used = {"base_training": self.source(name) == "scratch", "unlearn": True}
            if absent and used.get(stage, bool(self.trained(name))):
                raise ConfigError(f"training.{stage}.{sorted(absent)[0]}: missing; set a default")
            if not absent:
                own = entry.get(stage, {})
                place = f"{where}.{stage}" if "micro_batch_size" in own else f"training.{stage}"
                _check_division(settings, f"{place}.micro_batch_size")

    def _check_finetuned(self, name: str) -> None:
        """What of a model may be left out depends on what is given already fine-tuned."""
        entry, where = self.model(name), f"models.{name}"
        known = [FULL, *(split.retain for split in self.known_splits.values())]
        for corpus, named in entry.get("finetuned", {}).items():
            key = f"{where}.finetuned.{corpus}"
            if corpus not in known:
                raise ConfigError(
                    f"{key}: the data have no such corpus{ConfigError.suggestion(corpus, known)}"
                )
            if named is None:
                raise ConfigError(
                    f"{key}: null says nothing; name a folder, or id and revision, or leave the "
                    "key out if the model is to be fine-tuned here"
                    + ("" if corpus == FULL else ", or write missing if there is none")
                )
            if (corpus, named) == (FULL, MISSING_MODEL):
                raise ConfigError(
                    f"{key}: the original model, from which unlearning starts, cannot be missing; "
                    "name a folder, or id and revision, or leave the key out"
                )
        trained = self.trained(name)
        for key in ("source", "finetune"):
            if trained and key not in entry:
                raise ConfigError(
                    f"{where}.{key}: missing; set it, since {trained[0]} is to be fine-tuned here, "
                    f"or name a fine-tuned model by {where}.finetuned.{trained[0]}"
                )
        if self._of_hub(name) and "layers" not in entry:
            raise ConfigError(
                f"{where}.layers: missing; set it to the number of blocks of the hub's model"
            )

    def _check_data(self) -> None:
        data = self.raw["data"]
        if not self.own_tables:
            check_counts(row_count(data), self.splits, data["held_out_rows"])
            return
        own.check_entries(data, self.splits)
        absent = [name for name in BACKGROUND if data["tables"][name] is None]
        for name in self.models:
            if self.source(name) == "scratch" and absent:
                raise ConfigError(
                    f"models.{name}.source: scratch trains on background rows, but "
                    f"data.tables.{absent[0]} is null; name a file there, or a model that is there"
                )

    def _check_cell(self, cell: CellKey) -> None:
        for kind, variant in ((OBJECTIVE, cell.objective), (REGULARIZER, cell.regularizer)):
            self._check_loss(kind, variant, cell.split, cell.model)

    def _check_rows(self) -> None:
        """What depends on how many rows there are, and of which kind."""
        for model, split in dict.fromkeys((cell.model, cell.split) for cell in self.cells):
            self._check_relearning(model, split)
        for cell in self.cells:
            self._check_unlearning(cell)
            self._check_selection(cell)
            self._check_steps(cell)
            self._check_questions(cell)

    def _check_questions(self, cell: CellKey) -> None:
        asked = [("forget", OBJECTIVE, cell.objective), ("retain", REGULARIZER, cell.regularizer)]
        asked += [("retain", REGULARIZER, name) for name in self.probes(cell)]
        for rows, kind, variant in asked:
            resolved = self.loss(kind, variant, cell.split, cell.model)
            if resolved is None or cell.split not in self.sizes.texts[rows]:
                continue
            if registry.get(kind, resolved["name"]).needs & {"refusals", "refusal_pairs"}:
                raise ConfigError(
                    f"{_SECTIONS[kind]}.{variant}: {resolved['name']!r} looks at refusals, but "
                    f"{rows} rows of {cell.split} are running text, without a question to refuse; "
                    "leave it out, or give them questions"
                )

    def _check_unlearning(self, cell: CellKey) -> None:
        rows, forget = self.sizes.rows, self.sizes.forget[cell.split]
        settings = TrainingSettings(**self.training(cell.model, "unlearn", cell.objective))

        def key(name: str) -> str:
            if name in self.raw["objectives"][cell.objective].get("unlearn", {}):
                return f"objectives.{cell.objective}.unlearn.{name}"
            own = name in self.model(cell.model).get("unlearn", {})
            return f"models.{cell.model}.unlearn.{name}" if own else f"training.unlearn.{name}"

        _check_division(vars(settings), key("micro_batch_size"))
        if settings.batch_size > forget:
            raise ConfigError(
                f"{key('batch_size')}: {settings.batch_size} rows, but {cell.split} of {rows} rows "
                f"has only {forget}; lower it to {forget} at most, or use more rows"
            )
        if settings.epochs * forget < settings.batch_size:
            raise ConfigError(
                f"{key('epochs')}: {settings.epochs} epochs of the {forget} rows of {cell.split} "
                f"are less than one batch of {settings.batch_size}; raise it"
            )

    def _check_relearning(self, model: str, split: str) -> None:
        found = self.relearning(model)
        if found is None:
            return
        rows = self.raw["relearn"]["rows"]
        forget = self.sizes.forget[split]
        if rows >= forget:
            raise ConfigError(
                f"relearn.rows: {rows} rows, but {split} has only {forget}, and none is left to "
                f"look at; lower it to {forget - 1} at most"
            )

        def key(name: str) -> str:
            if name in self.model(model).get("relearn", {}):
                return f"models.{model}.relearn.{name}"
            own = name in self.model(model).get("unlearn", {})
            unlearn = f"models.{model}.unlearn.{name}" if own else f"training.unlearn.{name}"
            return f"relearn.{name}" if name in self.raw["relearn"] else unlearn

        settings = TrainingSettings(**found)
        _check_division(vars(settings), key("micro_batch_size"))
        if settings.batch_size > rows:
            where = key("batch_size")
            here = "relearn.batch_size" if where.endswith("unlearn.batch_size") else where
            raise ConfigError(
                f"relearn.rows: {rows} rows are less than one batch of {settings.batch_size} "
                f"({where}); set {here} to {rows} at most, or relearn more rows"
            )
        if settings.epochs != int(settings.epochs):
            raise ConfigError(
                f"{key('epochs')}: {settings.epochs} epochs, but relearning is looked at after "
                "every whole one; set relearn.epochs to a whole number"
            )

    def _check_selection(self, cell: CellKey) -> None:
        chosen = self.selection(cell.objective)
        if chosen is None:
            return
        where = f"objectives.{cell.objective}.tokens"
        spec = registry.get(OBJECTIVE, self.raw["objectives"][cell.objective][OBJECTIVE])
        if chosen["by"] == "e_retain" and spec.reduction == "sample" and not spec.weighted:
            raise ConfigError(
                f"{where}.by: {spec.name!r} pools samples and declares no weight(), so single "
                "tokens of it have no effect; write logp, entropy or random"
            )
        most = self.sizes.trainable[cell.split]
        if chosen["rows"] > most:
            raise ConfigError(
                f"{where}.rows: {chosen['rows']} rows, but {cell.split} of {self.sizes.rows} rows "
                "leaves only "
                f"{most} retain rows to train on; lower it to {most} at most"
            )
        every = self.raw["training"]["checkpoint_every"]
        if every % chosen["every"]:
            raise ConfigError(
                f"{where}.every: {chosen['every']} does not divide training.checkpoint_every, "
                f"{every}, so that a resumed run would rank tokens by another gradient; write a "
                "divisor of it"
            )

    def _check_steps(self, cell: CellKey) -> None:
        measured = self.measured_steps(cell)
        for step in self.evaluated_steps(cell):
            if step not in measured:
                raise ConfigError(
                    f"evaluation.at: {step} is not a checkpoint of {cell.objective} on "
                    f"{cell.split} of {cell.model}; there are "
                    f"{', '.join(map(str, measured))} (every training.checkpoint_every steps, and "
                    "the last)"
                )

    def _check_loss(self, kind: str, variant: str, split: str, model: str) -> None:
        resolved = self.loss(kind, variant, split, model)
        if resolved is None:
            return
        where = f"{_SECTIONS[kind]}.{variant}"
        declared = registry.get(kind, resolved["name"]).hyperparameters
        for name in declared:
            if name not in resolved["hyper"]:
                raise ConfigError(
                    f"{where}.{name}: missing for split {split} of model {model}; set it there, or "
                    f"under {where}.splits.{split} or {where}.models.{model}"
                )
        layer = resolved["hyper"].get("layer")
        if layer is not None and layer > self.layers(model):
            raise ConfigError(
                f"{where}: layer {layer}, but model {model} has {self.layers(model)}; choose one "
                f"of 1..{self.layers(model)} (e.g. under {where}.models.{model})"
            )

    def _check_probes(self) -> None:
        probes = self.raw["geffect"]["probes"]
        for key in ("objectives", "regularizers"):
            for name in probes[key]:
                if name not in self.raw[key]:
                    raise ConfigError(
                        f"geffect.probes.{key}: unknown {key[:-1]} {name!r}"
                        f"{ConfigError.suggestion(name, self.raw[key])}"
                    )
        unregularized = {c.objective for c in self.cells if c.regularizer == NO_REGULARIZER}
        for objective in probes["objectives"] if probes["regularizers"] else ():
            if objective not in unregularized:
                raise ConfigError(
                    f"geffect.probes.objectives: {objective!r} has no cell with the regularizer "
                    f"{NO_REGULARIZER!r} in the grid, along which probes are measured; take it "
                    "out, or add such a cell"
                )
        for cell in self.cells:
            for variant in self.probes(cell):
                self._check_loss(REGULARIZER, variant, cell.split, cell.model)


def _check_division(settings: Mapping[str, Any], key: str) -> None:
    """Raises ConfigError if means of micro-batches would be averaged that differ in size.

    A mean over the effective batch does not depend on how it is divided.
    """
    rows, at_once = settings["batch_size"], settings["micro_batch_size"]
    if settings.get("reduction") == "microbatch" and at_once < rows and rows % at_once:
        raise ConfigError(
            f"{key}: {at_once} does not divide the batch_size {rows}, so that reduction: "
            f"microbatch would give the {rows % at_once} rows that are left over more weight than "
            "others; write a divisor, or reduction: global"
        )

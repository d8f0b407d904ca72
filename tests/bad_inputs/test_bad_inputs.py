"""Mistakes of a first hour: each is told in a line that names the key or file, and starts nothing.

The table `CASES` says what is wrong and what the answer has to name. Most cases go through the code
that a command or a plan goes through, in this process; `snakemake` itself is asked about a sample
of each family.
"""

import copy
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from geffect import __main__ as command_line
from geffect.config import Config
from geffect.errors import GeffectError
from geffect.jobs import context

ROOT = Path(__file__).parents[2]
CASES = []


def cases(family, table):
    """Adds rows (what is wrong, what the answer names ...) to the table of a family."""
    CASES.extend((family, wrong, named) for wrong, *named in table)


# --- Values of a configuration: {key: value} laid over the demo's, `REMOVED` takes a key away.

RUN = "results/demo"
REMOVED = "REMOVED"
NAN, INF = float("nan"), float("inf")
PHI = "models/tiny-phi"
cases(
    "config",
    [
        ({"rum": "x"}, "rum", "did you mean 'run'"),
        ({"evaluation/bach_size": 3}, "evaluation.bach_size"),
        ({"data/fictional/author": 3}, "data.fictional.author", "authors"),
        ({f"{PHI}/finetune/epoch": 3}, "models.tiny-phi.finetune.epoch", "epochs"),
        ({"run": REMOVED}, "run: missing"),
        ({"training/unlearn": REMOVED}, "training.unlearn: missing"),
        ({f"{PHI}/vocabulary": REMOVED}, "models.tiny-phi.vocabulary: missing"),
        ({f"{PHI}/config/num_hidden_layers": REMOVED}, "config.num_hidden_layers: missing"),
        ({"evaluation": None}, "evaluation: null is not a mapping"),
        ({"grid": {}}, "grid", "list"),
        ({"grid": []}, "grid: is empty"),
        ({"grid/0/seeds": 42}, "grid[0].seeds: 42 is not a list; write [42]"),
        ({"grid/0/seeds": [42, 42]}, "grid[0].seeds: 42 is listed twice"),
        ({"grid/0/seeds": [42.0]}, "grid[0].seeds[0]: 42.0 is not an integer; write 42"),
        ({"grid/0/seeds": [-1]}, "grid[0].seeds[0]"),
        ({"grid/0/seeds": [2**63]}, "grid[0].seeds[0]", "maximum"),
        ({"grid/0/seeds": ["42"]}, "grid[0].seeds[0]: '42' is read as text"),
        ({"grid/0/seeds": [True]}, "grid[0].seeds[0]"),
        ({"grid/0/seeds": []}, "grid[0].seeds: is empty"),
        ({"data/fictional/seed": 2**64}, "data.fictional.seed"),
        ({"grid/0/objectives": ["ga", "ga"]}, "grid[0].objectives: 'ga' is listed twice"),
        ({"grid/0/objectives": ["gaa"]}, "grid[0].objectives: unknown objective 'gaa'"),
        ({"grid/0/regularizers": ["kll"]}, "grid[0].regularizers: unknown regularizer 'kll'"),
        ({"grid/0/splits": ["forget11"]}, "grid[0].splits: unknown split 'forget11'"),
        ({"grid/0/models": ["phi"]}, "grid[0].models: unknown model 'phi'"),
        ({"grid/0/regularizers": [None]}, "grid[0].regularizers[0]: null is not text"),
        # Not numbers.
        ({"objectives/wga/alpha": INF}, "objectives.wga.alpha: inf is not a finite number"),
        ({"objectives/wga/alpha": NAN}, "objectives.wga.alpha: nan is not a finite number"),
        ({f"{PHI}/unlearn/learning_rate": NAN}, "models.tiny-phi.unlearn.learning_rate: nan"),
        ({"training/unlearn/max_grad_norm": INF}, "training.unlearn.max_grad_norm: inf"),
        ({"regularizers/kl/coefficient": -INF}, "regularizers.kl.coefficient: -inf"),
        ({f"{PHI}/config/initializer_range": NAN}, "config.initializer_range: nan"),
        ({f"{PHI}/config/initializer_range": "1e-3"}, "initializer_range: ", "write 1.0e-3"),
        ({f"{PHI}/unlearn/learning_rate": "1e-3"}, "unlearn.learning_rate", "write 1.0e-3"),
        ({f"{PHI}/finetune/learning_rate": "2E5"}, "finetune.learning_rate", "write 2.0e+5"),
        ({f"{PHI}/unlearn/learning_rate": "0.001"}, "unlearn.learning_rate", "write 0.001"),
        ({f"{PHI}/unlearn/learning_rate": "fast"}, "unlearn.learning_rate", "a number"),
        ({"objectives/wga/alpha": "5e-1"}, "objectives.wga.alpha", "write 5.0e-1"),
        # Out of range.
        ({"objectives/wga/alpha": -1}, "objectives.wga.alpha"),
        ({"objectives/wga/splits/forget10/alpha": -1}, "objectives.wga.splits.forget10.alpha"),
        ({"objectives/wga/splits/forget20": {"alpha": 1}}, "wga.splits: unknown split 'forget20'"),
        ({"objectives/wga/models/phi": {"alpha": 1}}, "objectives.wga.models: unknown model"),
        ({"objectives/wga/beta": 1}, "objectives.wga.beta", "no such hyper-parameter"),
        ({"objectives/npo": {"objective": "npo"}}, "objectives.npo.beta: missing for split"),
        ({"objectives/ga": {"objective": "gaa"}}, "objectives.ga.objective", "ga"),
        ({"objectives/ga": {"objective": 3}}, "ga.objective: 3 is not text; write it in quotes"),
        ({"results": False}, "results: False is not text; write it in quotes"),
        ({"objectives/ga": {}}, "objectives.ga.objective: missing"),
        ({"objectives/ga": {"objective": "nowhere.py"}}, "objectives.ga", "nowhere.py"),
        ({"objectives/original": {"objective": "ga"}}, "objectives.original", "reserved"),
        ({"objectives/a+b": {"objective": "ga"}}, "objectives", "'a+b'", "letters a-z"),
        ({"objectives/naïve": {"objective": "ga"}}, "objectives", "'naïve'", "letters a-z"),
        ({"regularizers/kl/coefficient": 0}, "regularizers.kl.coefficient"),
        ({"regularizers/nll/positions": "all"}, "regularizers.nll.positions"),
        ({"objectives/rmu/models/tiny-phi/layer": 4}, "objectives.rmu: layer 4", "1..3"),
        ({"training/unlearn/epochs": 0}, "training.unlearn.epochs"),
        ({"training/unlearn/schedule": "linnear"}, "training.unlearn.schedule", "'linear'"),
        ({"training/unlearn/reduction": "mean"}, "training.unlearn.reduction", "global"),
        ({"training/checkpoint_every": 0}, "training.checkpoint_every"),
        (
            {f"{PHI}/unlearn/batch_size": 41},
            "models.tiny-phi.unlearn.batch_size: 41",
            "has only 40",
        ),
        ({"objectives/ga/unlearn": {"batch_size": 64}}, "objectives.ga.unlearn.batch_size: 64"),
        ({"training/unlearn/epochs": 0.05}, "training.unlearn.epochs: 0.05"),
        ({f"{PHI}/finetune": {"epochs": 1}, "training/finetune/batch_size": REMOVED}, "batch_size"),
        ({"evaluation/max_rows": -3}, "evaluation.max_rows"),
        ({"evaluation/max_rows": 0}, "evaluation.max_rows"),
        ({"evaluation/truth_ratio": "mean"}, "evaluation.truth_ratio"),
        ({"evaluation/bootstrap": -1}, "evaluation.bootstrap"),
        ({"evaluation/at": "end"}, "evaluation.at: 'end' is not allowed; write last, measured"),
        ({"evaluation/at": [3]}, "evaluation.at: 3 is not a checkpoint of"),
        ({"matched/es_retain": 95}, "matched.es_retain"),
        ({"matched/tolerance": 0}, "matched.tolerance"),
        ({"relearn": {"epochs": 3}}, "relearn.rows: missing; set it"),
        ({"relearn": {"rows": 40}}, "relearn.rows: 40 rows, but forget10 has only 40"),
        ({"relearn": {"rows": 0}}, "relearn.rows"),
        ({"relearn": {"rows": 3}}, "relearn.rows: 3 rows are less than one batch of 4"),
        ({"relearn": {"rows": 8, "epochs": 0}}, "relearn.epochs"),
        ({"relearn": {"rows": 8, "epochs": 2.5}}, "relearn.epochs: 2.5 is not an integer"),
        (
            {"relearn": {"rows": 8}, f"{PHI}/relearn": {"epochs": 1.5}},
            "models.tiny-phi.relearn.epochs: 1.5 epochs",
            "whole number",
        ),
        ({"relearn": {"rows": 8, "rate": 1}}, "relearn.rate: unknown key"),
        ({"relearn": {"rows": 8, "learning_rate": 0}}, "relearn.learning_rate"),
        ({"relearn": {"rows": 8, "reduction": "microbatch", "micro_batch_size": 3}}, "relearn.m"),
        ({"quantize": [3]}, "quantize[0]: 3 is unknown; known: 4, 8"),
        ({"quantize": [8, 8]}, "quantize: 8 is listed twice"),
        ({"quantize": 8}, "quantize: 8 is not a list; write [8]"),
        ({"geffect/in_run": "yes"}, "geffect.in_run: 'yes' is not true or false"),
        ({"geffect/retain_rows": "all"}, "geffect.retain_rows"),
        ({"compute/device": "gpu"}, "compute.device: 'gpu'", "auto, cpu, cuda"),
        ({"compute/threads": 0}, "compute.threads"),
        ({"compute/check_memory": 1}, "compute.check_memory: 1 is not true or false"),
        ({"limits/runtime": "1d"}, "limits.runtime"),
        ({f"{PHI}/resources/gpus": -1}, "models.tiny-phi.resources.gpus"),
        ({f"{PHI}/resources/stages": {"train": {}}}, "resources.stages.train"),
        # Names and paths.
        ({"run": "a/b"}, "run: 'a/b'", "letters a-z"),
        ({"run": "my run"}, "run: 'my run'", "letters a-z"),
        ({"run": ""}, "run: ''"),
        ({"results": "~/results"}, "results: '~/results'", "without ~"),
        ({"results": "a{b}"}, "results: 'a{b}'", "without { }"),
        ({"results": ""}, "results: ''"),
        ({"results": " results"}, "results: ' results'", "a space at its start"),
        ({"models/a b": {}}, "models", "'a b'", "letters a-z"),
        # Probes.
        (
            {"geffect/probes": {"objectives": ["gaa"], "regularizers": ["kl"]}},
            "geffect.probes.objectives: unknown objective 'gaa'",
        ),
        (
            {"geffect/probes": {"objectives": ["wga_a1"], "regularizers": ["kl"]}},
            "geffect.probes.objectives: 'wga_a1' has no cell",
        ),
        (
            {
                "grid/0/regularizers": ["kl"],
                "geffect/probes": {"objectives": ["ga"], "regularizers": ["kl"]},
            },
            "geffect.probes.objectives: 'ga' has no cell with the regularizer 'none'",
        ),
        # Templates.
        ({f"{PHI}/template": "phy"}, "models.tiny-phi.template: unknown template 'phy'"),
        ({"templates/phi/text": "{answer}"}, "templates.phi.text", "{question}"),
        ({"templates/phi/text": "{question} {answer}."}, "templates.phi.text", "end with"),
        (
            {"templates/phi": {"text": "{system} {question}\n{answer}", "answer_tag": ""}},
            "templates.phi.text: {system} is no placeholder",
        ),
        (
            {"templates/phi": {"text": "{{question}}\n{answer}", "answer_tag": ""}},
            "templates.phi.text: {{question}} is no placeholder",
        ),
        ({"templates/phi/answer_tag": "A: "}, "templates.phi.answer_tag"),
        # Architectures.
        ({f"{PHI}/config/num_hidden_layers": 2}, "config.num_hidden_layers: 2 blocks"),
        ({f"{PHI}/config/num_hidden_layers": "3"}, "config.num_hidden_layers", "write 3"),
        ({f"{PHI}/config/num_attention_heads": 3}, "models.tiny-phi.config: hidden_size 64"),
        ({f"{PHI}/config/num_key_value_heads": 4}, "num_attention_heads 2 is not a multiple"),
        ({f"{PHI}/config/hidden_size": -64}, "models.tiny-phi.config.hidden_size"),
        ({f"{PHI}/vocabulary": 10}, "models.tiny-phi.vocabulary"),
        ({f"{PHI}/architecture": "a/b"}, "models.tiny-phi.architecture", "letters a-z"),
        ({f"{PHI}/source": "web"}, "models.tiny-phi.source", "hub"),
        ({f"{PHI}/source": "hub"}, "models.tiny-phi.id: missing"),
        ({f"{PHI}/source": "path"}, "models.tiny-phi.path: missing"),
        ({"models/phi-1_5/id": "phi"}, "models.phi-1_5.id: 'phi'", "OWNER/NAME"),
        ({"models/phi-1_5/layers": 2, "grid/0/models": ["phi-1_5"]}, "models.phi-1_5.layers: 2"),
        # Models that are given, and adapters.
        ({f"{PHI}/finetuned": {}}, "models.tiny-phi.finetuned: is empty"),
        ({f"{PHI}/finetuned": {"retain9": "x"}}, "finetuned.retain9: unknown key", "'retain99'"),
        ({f"{PHI}/finetuned": {"full": "missing"}}, "finetuned.full", "cannot be missing"),
        ({f"{PHI}/finetuned": {"retain90": None}}, "finetuned.retain90: null", "write missing"),
        ({f"{PHI}/finetuned": {"full": {"id": "a/b"}}}, "finetuned.full.revision: missing"),
        ({f"{PHI}/finetuned": {"full": {"id": "b", "revision": "c"}}}, "finetuned.full.id: 'b'"),
        (
            {f"{PHI}/finetuned": {"full": {"id": "a/b", "revision": "c"}}},
            "models.tiny-phi.layers: missing",
        ),
        ({f"{PHI}/finetuned": {"full": "nowhere"}}, "models.tiny-phi.finetuned.full: nowhere"),
        ({f"{PHI}/source": REMOVED}, "models.tiny-phi.source: missing", "full is to be fine-tuned"),
        ({f"{PHI}/finetune": REMOVED}, "models.tiny-phi.finetune: missing"),
        ({f"{PHI}/unlearn/lora": {"rank": 0, "alpha": 1}}, "unlearn.lora.rank", "minimum"),
        ({f"{PHI}/unlearn/lora": {"rank": 2}}, "unlearn.lora.alpha: missing"),
        ({f"{PHI}/unlearn/lora": {"rank": 2, "alpha": 1, "targets": "all"}}, "lora.targets: 'all'"),
        ({f"{PHI}/unlearn/lora": {"rank": 2, "alpha": 1, "targets": []}}, "lora.targets: is empty"),
        ({f"{PHI}/finetune/lora": {"rank": 2, "alpha": 1}}, "finetune.lora: unknown key"),
        ({"geffect/parameters": "all"}, "geffect.parameters", "adapter"),
        # Data.
        ({"data/source": "tofu"}, "data.source", "fictional"),
        ({"data/source": "directory"}, "data.directory: not set", "GEFFECT_TOFU"),
        ({"data/source": "directory", "data/directory": "nowhere"}, "nowhere: no such folder"),
        ({"data/source": "directory", "data/directory": "{place}"}, "full.json: missing"),
        ({"data/held_out_rows": 0}, "data.held_out_rows"),
        ({"data/held_out_rows": 380}, "data.held_out_rows: the first 380 rows overlap forget10"),
        ({"data/held_out_rows": 360}, "data.held_out_rows", "no retain row"),
        ({"data/fictional/authors": 1, "data/fictional/questions": 4}, "forget10: of 4 rows"),
        ({"data/fictional/authors": 201}, "data.fictional.authors"),
        (
            {
                "data/source": "hub",
                "data/subset": {"first_authors": 150, "last_authors": 51, "questions": 5},
            },
            "data.subset: 150 + 51 authors",
        ),
        ({"data/refusals": "nowhere.txt"}, "nowhere.txt: no such file", "data.refusals"),
        ({"data/refusals": "{place}/empty.txt"}, "empty.txt", "no refusals"),
        ({"data/refusals": "{place}/latin.txt"}, "latin.txt: not UTF-8"),
        # What `only` selects.
        ({"only/seeds": [7]}, "only.seeds: 7 is in no cell", "known: 42"),
        ({"only/objectives": ["wga", "nppo"]}, "only.objectives: 'nppo' is in no", "'npo'"),
        ({"only/objective": ["ga"]}, "only.objective", "objectives"),
        ({"only/stages": ["train"]}, "only.stages[0]", "unlearn"),
    ],
)


# --- Files of losses: the text of a file, named as an objective, or as a regularizer.

cases(
    "loss",
    [
        ("def loss(view):\n    return (", "mine.py: syntax error in line 2"),
        ("X = 1\n", "mine.py: defines no loss()"),
        ("NEEDS = ['logits']\n\ndef loss(view): ...\n", "mine.py: NEEDS has an unknown entry"),
        ("REDUCTION = 'mean'\n\ndef loss(view): ...\n", "mine.py: REDUCTION must be one of"),
        (
            "HYPERPARAMETERS = dict(a=1)\n\ndef loss(view): ...\n",
            "HYPERPARAMETERS must be a literal",
        ),
    ],
)
cases(
    "regularizer",
    [("NEEDS = ['refusals']\n\ndef loss(view): ...\n", "mine.py: refusals", "need refusal_pairs")],
)


# --- Model folders of `source: path`: what is done to a whole one.

cases(
    "folder",
    [
        ("remove .", "models.tiny-phi.path", "no config.json"),
        ("remove config.json", "models.tiny-phi.path", "no config.json"),
        ("remove model.safetensors", "models.tiny-phi.path", "no *.safetensors"),
        ("remove tokenizer.json", "models.tiny-phi.path", "no tokenizer*"),
        ("cut config.json", "config.json is not JSON"),
        ("cut tokenizer.json", "tokenizer.json is not JSON"),
        ("cut model.safetensors", "model.safetensors is damaged or cut off"),
        ("config num_hidden_layers=null", "does not say num_hidden_layers as an integer"),
        ("config num_hidden_layers=2", "models.tiny-phi.path: 2 blocks"),
        ("config num_attention_heads=3", "hidden_size 8 is not a multiple", "config.json"),
        ("config vocab_size=9", "holds 4 rows of embeddings", "vocab_size 9"),
        ("token 7", "has a token with the id 7", "embeddings for 4"),
        ("index model-00002-of-00002.safetensors", "lacks model-00002-of-00002.safetensors"),
    ],
)


# --- Commands.

EVALUATE = (
    "evaluate {place}/model --data {place}/tables --split forget10 --template phi --out {out}"
)
REWEIGHT = "reweight {place}/tokens.parquet --objective wga"
cases(
    "command",
    [
        ("sattus", "sattus", "status"),
        ("status nowhere", "nowhere"),
        (f"{EVALUATE} --set max_rows=-3", "--set evaluation.max_rows: -3"),
        (f"{EVALUATE} --set max_rows=abc", "--set evaluation.max_rows: 'abc' is not"),
        (f"{EVALUATE} --set max_rows=", "--set max_rows=: no value"),
        (f"{EVALUATE} --set max_rows", "--set max_rows: no value"),
        (f"{EVALUATE} --set max_row=3", "--set max_row=3: unknown setting", "max_rows"),
        (f"{EVALUATE} --set bootstrap=.nan", "--set evaluation.bootstrap: nan"),
        (f"{EVALUATE} --set max_rows=[", "--set max_rows=["),
        (f"{EVALUATE} --set truth_ratio=mean", "--set evaluation.truth_ratio"),
        (f"{EVALUATE} --split forget11", "--split forget11: unknown", "forget10"),
        (f"{EVALUATE} --split forget05", "neither forget05.parquet nor"),
        (f"{EVALUATE} --template phy", "--template phy: unknown", "phi"),
        (f"{EVALUATE} --config nowhere.yaml", "--config nowhere.yaml: no such file"),
        (f"{EVALUATE} --config {{place}}/overlay.yaml", "overlay.yaml: no section templates"),
        (f"{EVALUATE} --config {{place}}/broken.yaml", "broken.yaml", "line 2"),
        (f"{EVALUATE} --config {{place}}/latin.txt", "latin.txt", "not UTF-8"),
        (f"{EVALUATE} --config {{place}}/list.yaml", "list.yaml: holds a list"),
        (f"{EVALUATE} --retain nowhere", "--retain nowhere: not a model folder"),
        (f"{EVALUATE} --retain {{place}}/tokens.parquet", "tokens.parquet: no column 'dataset'"),
        (f"{EVALUATE} --retain {{place}}/latin.txt", "latin.txt: is damaged"),
        (f"{EVALUATE} --retain {{place}}/tables", "tables: not a model folder"),
        (f"{EVALUATE} --data nowhere", "--data nowhere: no such folder"),
        (f"{EVALUATE} --out {{place}}/latin.txt", "--out", "latin.txt: is a file"),
        (f"{EVALUATE} --device gpu", "device: 'gpu'", "auto, cpu, cuda"),
        (f"{EVALUATE} --threads 0", "threads: 0"),
        (EVALUATE.replace("{place}/model", "nowhere"), "MODEL nowhere: not a model folder"),
        (f"{REWEIGHT} --set alpha=-1", "alpha: -1"),
        (f"{REWEIGHT} --set alpha=nan", "alpha: nan is not finite"),
        (f"{REWEIGHT} --set alpha=inf", "alpha: inf is not finite"),
        (f"{REWEIGHT} --set alpha=x", "--set alpha=x"),
        (f"{REWEIGHT} --set alpha", "--set alpha"),
        (f"{REWEIGHT} --set beta=1", "hyper-parameters are alpha, not beta"),
        (f"{REWEIGHT}", "hyper-parameters are alpha, not none"),
        (f"{REWEIGHT} --set alpha=1 --out nowhere/e.csv", "--out nowhere/e.csv", "no such folder"),
        (f"{REWEIGHT} --set alpha=1 --out {{place}}/tables", "tables: is a folder"),
        (f"{REWEIGHT.replace('wga', 'wgaa')} --set alpha=1", "wgaa", "wga"),
        (f"{REWEIGHT.replace('wga', 'rmu')} --set layer=1 --set c=1", "rmu", "does not reweight"),
        (REWEIGHT.replace("tokens", "nowhere") + " --set alpha=1", "nowhere.parquet"),
        (REWEIGHT.replace("tokens", "cut") + " --set alpha=1", "cut.parquet: is damaged"),
        (REWEIGHT.replace("tokens", "tables/forget10") + " --set alpha=1", "tokens: no column"),
        (REWEIGHT.replace("wga", "ihl"), "no column 'logp_runner_up', at which 'ihl' looks"),
    ],
)


# --- What only a job can know: what is done to a run's files, and what the job then says.

cases(
    "job",
    [
        ("θ_o: nan", "not all finite numbers", "renamed to"),
        ("θ_o: inf", "not all finite numbers", "renamed to"),
        ("θ_o: remove model.safetensors", "no *.safetensors", "renamed to"),
        ("θ_o: remove config.json", "no config.json", "renamed to"),
        ("θ_o: remove tokenizer.json", "no tokenizer.json", "renamed to"),
        ("θ_o: cut model.safetensors", "weights are damaged", "renamed to"),
        ("θ_o: cut config.json", "config.json is damaged", "renamed to"),
        ("θ_o: cut tokenizer.json", "tokenizer.json is damaged", "renamed to"),
        ("θ_o: config vocab_size=9999", "other sizes than its config.json", "renamed to"),
        ("θ_o: config model_type=nonsense", "original: no usable config.json", "nonsense"),
        ("θ_o: config hidden_act=3", "Field 'hidden_act' expected str, got int"),
        ("table: cut", "forget10.parquet: is damaged", "renamed to"),
        ("table: no answer", "forget rows, row 0: its answer is missing or not text"),
        ("architecture nonsense", "architecture 'nonsense'"),
        ("activation nonsense", "architecture 'phi': cannot be built", "nonsense"),
        ("activation 3", "architecture 'phi': Field 'hidden_act' expected str, got int"),
        ("key hiden_size", "unknown config key 'hiden_size'"),
        ("hub data", "cannot be downloaded", "data.source: directory"),
        ("hub model", "cannot be downloaded", "source: path"),
    ],
)


# --- Snakemake itself.

cases(
    "snakemake",
    [
        ("--config evaluation={max_rows: -3}", "evaluation.max_rows"),
        ("--config results=~/results", "results: '~/results'"),
        ("overlay: objectives: {wga: {alpha: .inf}}", "objectives.wga.alpha: inf"),
        ("overlay: models: {tiny-phi: {unlearn: {learning_rate: 1e-3}}}", "write 1.0e-3"),
        ("config.yaml: run: x\n  data: [1", "config.yaml: ", "line 2"),
        ("config.yaml: run: café", "config.yaml: not UTF-8"),
        ("config.yaml: run: x\nrun: y", "config.yaml: line 2: 'run' appears for the second time"),
        ("config.yaml: ", "config.yaml, which has every key, is not in this folder"),
        # Read by Snakemake itself before any of our rules.
        ("--configfile nowhere.yaml", "nowhere.yaml: no such file"),
        ("--configfile all", "all: no such file", "targets go first"),
        ("--configfile {place}/model", "model: is a folder"),
        ("--configfile {place}/latin.txt", "latin.txt: not UTF-8"),
        ("--configfile {place}/broken.yaml", "broken.yaml: line 2: not YAML"),
        ("--configfile {place}/list.yaml", "list.yaml: holds a list"),
        ("--configfile {place}/empty.txt", "empty.txt: is empty"),
        ("--config results", "--config results: no value"),
        ("--config data.source=hub", "'data.source' is not a key; write 'data={source: hub}'"),
        ("--config 1st=x", "'1st' is not a key"),
        ("overlay: data: {source: directory, directory: nowhere}", "nowhere: no such folder"),
    ],
)


# --- How each family is asked: (exit status, the lines of the answer).


# --- Own files (`ask_own`): {file or key of data.tables: what is there}.

HEADER = "question,answer\n"
FORGET = "tables/splits/mine/forget"
ROWS = [{"question": "a?", "answer": "b"}]
cases(
    "own",
    [
        ({"forget.csv": "question,reply\na?,b\n"}, "forget.csv, line 2: no column 'answer'"),
        ({"forget.csv": HEADER + "a?,b\nc?,\n"}, "forget.csv, line 3: the answer is empty"),
        (
            {"forget.jsonl": '{"question": "a?", "answer": null}', FORGET: "{own}/forget.jsonl"},
            "forget.jsonl, line 1: the answer is null",
        ),
        (
            {"forget.jsonl": '{"question": "a?", "answer": 4}', FORGET: "{own}/forget.jsonl"},
            "forget.jsonl, line 1: answer is not text but int",
        ),
        (
            {"forget.jsonl": '{"question": [], "answer": "b"}', FORGET: "{own}/forget.jsonl"},
            "forget.jsonl, line 1: question is not text but list",
        ),
        ({"forget.csv": HEADER.encode() + "a?,caf\xe9\n".encode("latin-1")}, "line 2: not UTF-8"),
        ({"forget.csv": "question,answer\na,b".encode("utf-16")}, "forget.csv, line 1: not UTF-8"),
        (
            {"forget.jsonl": '{"answer": "b"}\n{"answer": ', FORGET: "{own}/forget.jsonl"},
            "forget.jsonl, line 2: not JSON",
        ),
        ({"forget.csv": HEADER + "a?,b\nc?,d,e\n"}, "forget.csv, line 3: 3 cells"),
        ({"forget.csv": HEADER + 'a?,"b\n'}, "forget.csv, line 2: not CSV"),
        ({"forget.csv": "question,answer,answer\na,b,c\n"}, "column 'answer' is there twice"),
        ({FORGET: "{own}/forget.txt"}, "forget.txt: not a table that is known", ".jsonl"),
        ({"forget.csv": ""}, "forget.csv: no rows"),
        ({"forget.csv": HEADER}, "forget.csv: no rows"),
        ({"forget.csv": None}, "forget.csv: there is no such file"),
        ({"forget.csv": "FOLDER"}, "forget.csv: is a folder"),
        ({"forget.csv": HEADER + "a?,b\n"}, "batch_size", "has only 1"),
        ({"retain.csv": HEADER + "a?,b\n"}, "retain.csv", "data.held_out_rows", "first 2 rows"),
        ({"forget.csv": HEADER + "a?,b\nc?,d\na?,b\n"}, "line 4: the same row as", "line 2"),
        (
            {"retain.csv": HEADER + "a?,b\nc?,d\ne?,f\nQuestion 01?,Answer 1.\n"},
            "retain.csv, line 5: the same row as",
            "forget.csv, line 3",
        ),
        (
            {"retain.csv": HEADER + "Question 01?,Answer 1.\nc?,d\ne?,f\n"},
            "retain.csv, line 2: the same row as",
        ),
        (
            {"retain.csv": HEADER + "a?,b\nc?,d\ne?,f\na?,b\n"},
            "retain.csv, line 5: the same row as",
            "held out",
        ),
        (
            {
                "holdout.csv": HEADER + "Question 01?,Answer 1.\n",
                "tables/splits/mine/holdout": "{own}/holdout.csv",
            },
            "holdout.csv, line 2: the same row as",
            "forget.csv, line 3",
        ),
        (
            {"tables/splits/mine/holdout": "{own}/retain.csv"},
            "retain.csv, line 2",
            "no model may have seen a holdout row",
        ),
        (
            {"tables/world_facts": "{own}/forget.csv"},
            "forget.csv, line 2: the same row as",
            "is to be forgotten",
        ),
        (
            {"tables/splits/mine/retain": "{own}/forget.csv"},
            "the same row as",
            "forget.csv, line 2",
        ),
        (
            {"forget.csv": "question,answer,perturbed_answer\na?,b,c\n"},
            "forget.csv, line 2: perturbed_answer is not a list of texts",
        ),
        (
            {"forget.csv": "question,answer,paraphrased_answer\na?,b,B\nc?,d,\n"},
            "forget.csv, line 3: no paraphrased_answer, unlike the rows before",
        ),
        ({"tables/columns": {"question": "prompt"}}, "line 2: no column 'prompt'", "question"),
        (
            {"tables/columns": {"answers": "x"}},
            "data.tables.columns.answers: unknown key",
            "answer",
        ),
        ({"tables/columns": {"answer": None}}, "data.tables.columns.answer: null is not text"),
        (
            {"forget.csv": "prompt,answer\na?,b\n"},
            "line 2: no column 'question'; is it 'prompt'?",
            "question: null",
        ),
        ({FORGET: {"file": "{own}/forget.csv", "where": {"set": 1}}}, "no column 'set'", "where"),
        (
            {FORGET: {"file": "{own}/forget.csv", "where": {"answer": "x"}}},
            "no row has answer = 'x'",
        ),
        (
            {"forget.json": '{"a": []}', FORGET: {"file": "{own}/forget.json", "lists": "train"}},
            "forget.json, row 0: no list 'train'",
        ),
        ({"forget.parquet": ROWS, FORGET: "{own}/cut.parquet", "cut.parquet": "PAR1"}, "damaged"),
        ({"forget.json": "[4]", FORGET: "{own}/forget.json"}, "row 0: not an object with names"),
        ({FORGET: {"repository": "a/b", "file": "c.csv"}}, "forget.revision: missing", "rows"),
        ({FORGET: {"file": "c.csv", "rows": 4}}, "forget.repository: missing"),
        ({FORGET: None}, "data.tables.splits.mine.forget: null is not"),
        ({FORGET: {"path": "x"}}, "data.tables.splits.mine.forget"),
        ({"tables/splits/mine/forgot": "x"}, "mine.forgot: unknown key", "forget"),
        ({"tables/splits/full": {"forget": "x", "retain": "y"}}, "full: the name is reserved"),
        (
            {"tables/splits/forget10": {"forget": "x", "retain": "y"}},
            "forget10: the name is reserved",
        ),
        ({"tables/splits/null": {"forget": "x", "retain": "y"}}, "null: the name is reserved"),
        ({"tables/splits/2024": {"forget": "x", "retain": "y"}}, "'2024' is not allowed"),
        (
            {"tables/splits/train_mine": {"forget": "x", "retain": "y"}},
            "train_mine: its table train_mine would be one of mine",
        ),
        ({"grid/0/splits": ["forget10"]}, "grid[0].splits: unknown split 'forget10'", "mine"),
        ({"tables/world_facts": None}, "models.tiny-phi.source", "data.tables.world_facts is null"),
        ({"tables/chunk_words": 0}, "data.tables.chunk_words"),
        (
            {"forget.csv": "answer\n" + "long text\n" * 4 + "b\n", "grid/0/objectives": ["po"]},
            "forget.csv, line 3: the same row",
        ),
        (
            {
                "forget.csv": "answer\none\ntwo\nthree\nfour\n",
                "grid/0/objectives": ["po"],
            },
            "objectives.po: 'po' looks at refusals",
            "running text",
        ),
        (
            {"retain.csv": "answer\none\ntwo\nthree\n", "grid/0/regularizers": ["ap"]},
            "regularizers.ap: 'ap' looks at refusals",
        ),
        (
            {"objectives/ga/tokens": {"drop": 0.1}},
            "objectives.ga.tokens.rows: 40 rows",
            "only 4 retain rows",
        ),
    ],
)


@cache
def demo():
    merged = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    _merge(merged, yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8")))
    return json.loads(json.dumps(merged))  # without the identities that YAML's anchors make


def _merge(base, over):
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def put(raw, path, value):
    *parents, last = path.split("/")
    for key in parents:
        raw = raw[int(key)] if isinstance(raw, list) else raw.setdefault(key, {})
    if value is REMOVED:
        del raw[last]
    else:
        raw[last] = value


def planned(raw):
    """What the Snakefile does before anything else."""
    try:
        config = Config(raw)
        config.selected()
        config.check_files()
    except GeffectError as error:
        return 1, str(error).splitlines()
    return 0, []


def ask_config(wrong, place, **_):
    raw = copy.deepcopy(demo())
    for path, value in wrong.items():
        put(
            raw,
            path,
            value.replace("{place}", str(place))
            if isinstance(value, str) and "{place}" in value
            else value,
        )
    return planned(raw)


def ask_loss(wrong, place, kind="objective", **_):
    (place / "mine.py").write_text(wrong)
    raw = copy.deepcopy(demo())
    variant = {"objective": "ga", "regularizer": "kl"}[kind]
    own = {"coefficient": 1} if kind == "regularizer" else {}
    raw[f"{kind}s"][variant] = {kind: str(place / "mine.py"), **own}
    return planned(raw)


def ask_regularizer(wrong, place, **_):
    return ask_loss(wrong, place, "regularizer")


def harm(folder, wrong):
    """Does to a model folder what a row of the table says."""
    verb, *rest = wrong.split()
    if verb == "remove" and rest == ["."]:
        shutil.rmtree(folder)
    elif verb == "remove":
        (folder / rest[0]).unlink()
    elif verb == "cut":
        content = (folder / rest[0]).read_bytes()
        (folder / rest[0]).write_bytes(content[:-9])
    elif verb == "config":
        config = json.loads((folder / "config.json").read_text())
        for change in rest:
            name, _, value = change.partition("=")
            config[name] = yaml.safe_load(value)
        config = {name: value for name, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config))
    elif verb == "token":
        vocabulary = {"model": {"vocab": {"a": 0, "b": int(rest[0])}}}
        (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    elif verb == "index":
        index = {"weight_map": {"x": "model.safetensors", "y": rest[0]}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        raise AssertionError(wrong)


def ask_folder(wrong, place, **_):
    folder = place / "by_path"
    folder.mkdir()
    config = {
        "num_hidden_layers": 3,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "vocab_size": 4,
    }
    (folder / "config.json").write_text(json.dumps(config))
    header = {
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}
    }
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(128)
    (folder / "model.safetensors").write_bytes(content)
    vocabulary = {"model": {"vocab": {"a": 0, "b": 3}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    raw = copy.deepcopy(demo())
    entry = raw["models"]["tiny-phi"] | {"source": "path", "path": str(folder)}
    for key in ("architecture", "config", "vocabulary", "base_training", "background_repeats"):
        entry.pop(key)
    raw["models"]["tiny-phi"] = entry
    assert planned(raw) == (0, [])
    harm(folder, wrong)
    return planned(raw)


def ask_command(wrong, place, capsys, **_):
    given = wrong.replace("{place}", str(place)).replace("{out}", str(place / "out"))
    try:
        status = command_line.main(given.split())
    except SystemExit as ended:
        status = ended.code
        if isinstance(status, str):  # what the interpreter does with it
            status = print(status, file=sys.stderr) or 1
    told = capsys.readouterr()
    assert not told.out
    return status, told.err.splitlines()


def ask_job(wrong, place, capsys, request, monkeypatch):
    with pytest.raises(SystemExit) as ended, context.job("unlearn", place / RUN / "logs/x.log"):
        work(wrong, place, request, monkeypatch)
    return ended.value.code, capsys.readouterr().err.splitlines()


def work(wrong, place, request, monkeypatch):
    """What a job does first, with what the table says done to its files."""
    if wrong.startswith("hub"):
        import huggingface_hub

        from geffect.data.tofu import download
        from geffect.models.hub import download_model

        def offline(*_, **__):
            raise huggingface_hub.errors.OfflineModeIsEnabled("offline\nin two lines")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
        if wrong == "hub data":
            download("locuslab/TOFU", "0" * 40)
        download_model("owner/name", "0" * 40, 3, place / "hub")
    from geffect.effects.measurement import check_model
    from geffect.models import scratch
    from geffect.models.folder import save_model
    from geffect.training.unlearning import Run

    what, _, rest = wrong.partition(": ")
    tokenizer = request.getfixturevalue("tokenizer")
    settings = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 3}
    settings |= {"num_attention_heads": 2, "num_key_value_heads": 2}

    def build(architecture="phi", **more):
        return scratch.build(architecture, {**settings, **more}, len(tokenizer), 0, 1)

    match what.split():
        case ["architecture", name]:
            check_model(build(name, **({"head_dim": 4} if name == "gemma" else {})), True, True)
        case ["activation", name]:
            build(hidden_act=int(name) if name.isdigit() else name)
        case ["key", name]:
            build(**{name: 3})
    model, original = build(), place / RUN / "models/original"
    if rest in ("nan", "inf"):
        next(model.parameters()).data[0, 0] = float(rest)
    save_model(model, tokenizer, original)
    table = place / RUN / "data/forget10.parquet"
    table.parent.mkdir()
    rows = pd.DataFrame({"row": [0, 1], "question": ["a?", "b?"], "answer": ["c", "d"]})
    if rest == "no answer":
        rows = rows.drop(columns="answer")
    rows.to_parquet(table)
    if wrong == "table: cut":
        table.write_bytes(table.read_bytes()[:-7])
    if what == "θ_o" and rest not in ("nan", "inf"):
        harm(original, rest)
    job(original, table, place, Run)


def job(original, table, place, Run):
    """The first steps of rule unlearn."""
    from geffect.cells.cell import Cell

    good = place / "good.parquet"
    rows = pd.DataFrame({"row": [9], "question": ["a?"], "answer": ["c"], "text": ["no"]})
    rows.to_parquet(good)
    template = {"text": "{question} {answer}", "answer_tag": ""}
    ga = {"name": "ga", "hyper": {}}
    settings = SimpleNamespace(template=template, objective=ga, regularizer=None, held_out_rows=1)
    files = SimpleNamespace(forget=table, retain=good, refusals=good)
    cell = Cell.of_job(original, files, settings, SimpleNamespace(seed=1))
    _ = cell.forget
    Run(cell, original, "cpu")


def ask_snakemake(wrong, place, **_):
    overlay, own = place / "change.yaml", place / "config.yaml"
    overlay.write_text(wrong.removeprefix("overlay: ") if wrong.startswith("overlay") else "{}")
    shutil.copy(ROOT / "config.yaml", own)
    if wrong == "config.yaml: ":
        own.unlink()
    elif wrong.startswith("config.yaml: "):
        own.write_bytes(wrong.removeprefix("config.yaml: ").encode("latin-1"))
    option, _, value = wrong.replace("{place}", str(place)).partition(" ")
    given = ["--config", value if option == "--config" else f"results={place}/results"]
    arguments = [
        "--directory",
        str(place),
        "--configfile",
        "config/demo.yaml",
        value if option == "--configfile" else str(overlay),
        *given,
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--", "all"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "GEFFECT_TOFU": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rule " not in ended.stdout + ended.stderr
    header = ("Using workflow specific profile", "Config file config.yaml is extended")
    lines = (ended.stdout + ended.stderr).splitlines()
    return ended.returncode, [line for line in lines if not line.startswith(header)]


def ask_own(wrong, place, **_):
    """Own files: `wrong` says what is in a file, or what a key of `data.tables` is."""
    folder = place / "own"
    folder.mkdir()
    raw = copy.deepcopy(demo())
    raw["data"]["source"], raw["data"]["held_out_rows"] = "tables", 2
    tables = raw["data"]["tables"]
    tables["splits"] = {
        "mine": {role: str(folder / f"{role}.csv") for role in ("forget", "retain")}
    }
    for name in ("real_authors", "world_facts"):
        tables[name] = str(folder / f"{name}.jsonl")
        rows = [{"question": f"{name}?", "answer": "Yes.", "perturbed_answer": ["No."]}]
        (folder / f"{name}.jsonl").write_text(json.dumps(rows[0]))
    for number, role in enumerate(("forget", "retain", "holdout")):
        lines = [f"Question {number}{n}?,Answer {n}." for n in range(6)]
        (folder / f"{role}.csv").write_text("\n".join(["question,answer", *lines, ""]))
    raw["grid"][0] |= {"splits": ["mine"], "objectives": ["ga"], "regularizers": ["none"]}
    assert planned(copy.deepcopy(raw)) == (0, []), "the files are good"
    for key, value in wrong.items():
        path = folder / key
        if path.suffix not in (".csv", ".json", ".jsonl", ".parquet"):
            text = json.dumps(value).replace("{own}", str(folder))
            put(
                raw,
                key.replace("tables", "data/tables") if "tables" in key else key,
                json.loads(text),
            )
        elif value is None:
            path.unlink()
        elif value == "FOLDER":
            path.unlink()
            path.mkdir()
        elif isinstance(value, list):
            pd.DataFrame(value).to_parquet(path)
        else:
            path.write_bytes(value if isinstance(value, bytes) else value.encode())
    return planned(raw)


# --- The test.


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """Files that the cases name, some of them good."""
    place = tmp_path_factory.mktemp("material")
    (place / "empty.txt").write_text("\n \n")
    (place / "latin.txt").write_bytes("café\n".encode("latin-1"))
    (place / "overlay.yaml").write_text("run: x\n")
    (place / "broken.yaml").write_text("run: x\n  data: [1\n")
    (place / "list.yaml").write_text("- run\n- x\n")
    (place / "cut.parquet").write_bytes(b"PAR1")
    (place / RUN / "cells").mkdir(parents=True)
    (place / RUN / "cells/geffect.parquet").write_text("of an earlier run")
    (place / "model").mkdir()
    (place / "model/config.json").write_text("{}")
    (place / "tables").mkdir()
    tokens = {name: [0.0] for name in ("step", "sample", "token", "logp", "logp_ref")}
    tokens |= {"text": ["answer"], "e_unlearn": [1.0], "e_retain": [1.0]}
    pd.DataFrame(tokens).astype({"sample": int, "token": int}).to_parquet(place / "tokens.parquet")
    for name in ("forget10", "held_out", "real_authors", "world_facts"):
        rows = pd.DataFrame({"question": ["a"], "answer": ["b"]})
        rows.to_parquet(place / f"tables/{name}.parquet")
    return place


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _id(case):
    family, wrong, _ = case
    return f"{family}: {wrong if isinstance(wrong, str) else json.dumps(wrong, default=str)}"


def test_the_table_is_long_enough():
    assert len(CASES) >= 120
    assert len(set(map(_id, CASES))) == len(CASES)


@pytest.mark.parametrize(("family", "wrong", "named"), CASES, ids=map(_id, CASES))
def test_a_mistake_is_told_in_a_line_and_changes_nothing(
    family, wrong, named, material, tmp_path, capsys, request, monkeypatch
):
    monkeypatch.delenv("GEFFECT_TOFU", raising=False)
    if family == "command":
        monkeypatch.chdir(ROOT)
    place = tmp_path / "place"
    shutil.copytree(material, place)
    cells = place / RUN / "cells"
    before = contents(place)
    ask = globals()[f"ask_{family}"]
    status, lines = ask(wrong, place=place, capsys=capsys, request=request, monkeypatch=monkeypatch)
    told = "\n".join(lines)
    assert status not in (0, None), told
    assert 1 <= len(lines) <= 3, told
    assert "Traceback" not in told
    for fragment in named:
        assert fragment in told, told
    assert len(contents(cells)) == 1 and contents(place).items() >= before.items()
    if family == "command":
        assert contents(place) == before

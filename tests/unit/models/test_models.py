"""Models from scratch and from folders, and the map from parameters to components."""

import math
import re
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file, save_file

from geffect.errors import DamagedError, ModelError
from geffect.models.checkpoints import Checkpoints, trajectory
from geffect.models.components import check_blocks, component_map
from geffect.models.compute import find_device
from geffect.models.folder import (
    DIVERGED,
    check_finite,
    diverged,
    load_model,
    load_tokenizer,
    positions,
    record_divergence,
    save_model,
)
from geffect.models.scratch import build
from geffect.names import COMPONENTS, thirds

architectures = pytest.mark.parametrize("architecture", ["phi", "llama"])
tied_or_not = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def assert_one_line(error):
    message = str(error.value)
    assert message and "\n" not in message


# Components.
def test_thirds_of_32_blocks_are_the_papers():
    assert Counter(thirds(32)) == {"shallow": 11, "middle": 11, "deep": 10}
    assert Counter(thirds(24)) == {"shallow": 8, "middle": 8, "deep": 8}


@pytest.mark.parametrize("layers", range(3, 41))
def test_thirds_are_contiguous_and_follow_the_definition(layers):
    names = thirds(layers)
    assert len(names) == layers
    for block, name in enumerate(names, start=1):
        expected = "deep"
        if block <= math.ceil(layers / 3):
            expected = "shallow"
        elif block <= math.ceil(2 * layers / 3):
            expected = "middle"
        assert name == expected
    sizes = [names.count(name) for name in ("shallow", "middle", "deep")]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@architectures
@tied_or_not
@pytest.mark.parametrize("blocks", [3, 5])
def test_every_parameter_is_mapped_once(architecture, tied, blocks, tiny_model):
    model = tiny_model(architecture, tied=tied, blocks=blocks)
    found = component_map(model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    names = thirds(blocks)
    for name, (component, block) in found.items():
        if ".layers." in name:
            index = int(name.split(".layers.")[1].split(".")[0])
            assert (component, block) == (names[index], index + 1)
        else:
            assert component in ("embed", "lm")
            assert block is None
    assert {component for component, _ in found.values()} == set(COMPONENTS)
    assert {block for _, block in found.values()} == {None, *range(1, blocks + 1)}


@architectures
@tied_or_not
def test_embedding_final_norm_and_unembedding_are_outside_the_blocks(
    architecture, tied, tiny_model
):
    model = tiny_model(architecture, tied=tied)
    by_identity = {id(p): name for name, p in model.named_parameters()}
    found = component_map(model)
    embed, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert found[by_identity[id(embed.weight)]] == ("embed", None)
    final = [name for name in found if "norm" in name and ".layers." not in name]
    assert final and all(found[name] == ("lm", None) for name in final)
    assert (embed.weight is head.weight) == tied
    if not tied:
        assert found[by_identity[id(head.weight)]] == ("lm", None)
    if head.bias is not None:
        assert found[by_identity[id(head.bias)]] == ("lm", None)
    assert [name for name, place in found.items() if place[0] == "embed"] == [
        by_identity[id(embed.weight)]
    ]


def test_a_model_without_a_list_of_blocks_is_a_model_error(tiny_model):
    model = tiny_model()
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(ModelError, match="no list of at least 3 blocks") as error:
        component_map(model)
    assert_one_line(error)


def test_blocks_that_do_not_run_are_a_model_error(tiny_model):
    model = tiny_model()
    model.forward = lambda **_: None
    with pytest.raises(ModelError, match="does not run its blocks") as error:
        component_map(model)
    assert_one_line(error)


# Building.
@pytest.mark.parametrize("blocks", [1, 2])
def test_fewer_than_three_blocks_are_a_model_error(blocks, tiny_model):
    with pytest.raises(ModelError, match=str(blocks)) as error:
        tiny_model(blocks=blocks)
    assert_one_line(error)


def test_unknown_architecture_is_a_model_error(tiny_model):
    with pytest.raises(ModelError, match="'phii'"):
        tiny_model("phii")


def test_other_number_of_blocks_than_configured_is_a_model_error(tiny_model):
    config = tiny_model(blocks=4).config
    check_blocks(config, "here", 4)
    with pytest.raises(ModelError, match=r"4 blocks.*layers: 5"):
        check_blocks(config, "here", 5)


def test_equal_seeds_build_equal_weights(tokenizer, seed):
    settings = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3}
    settings["intermediate_size"] = 24

    def built(seed):
        model = build("phi", settings, len(tokenizer), tokenizer.eos_token_id, seed)
        return torch.nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(built(seed), built(seed))
    assert not torch.equal(built(seed), built(seed + 1))


def test_tokenizer_covers_every_text_and_has_offsets(tokenizer):
    text = "Ünseen wörds — 1987, \n naïve?"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == text
    assert encoded["offset_mapping"][0][0] == 0 and encoded["offset_mapping"][-1][1] == len(text)
    assert tokenizer.tokenize("on the river")[0][0] == "o", "no space is added in front"
    shown = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert all(part.strip() in (part, "") for part in shown), "offsets leave spaces out"
    assert tokenizer.eos_token_id is not None and len(tokenizer) <= 320
    assert tokenizer.pad_token == tokenizer.eos_token
    ids = tokenizer(f"{tokenizer.eos_token}and on")["input_ids"]
    assert ids[0] == tokenizer.eos_token_id, "EOS is a token of its own, not spelt out"


# Folders.
@pytest.fixture
def saved(tiny_model, tokenizer, tmp_path):
    """A function: a model and the folder it was saved into."""

    def save(architecture="phi", dtype=torch.float32, **arguments):
        model = tiny_model(architecture, tokenizer=tokenizer, dtype=dtype, **arguments)
        save_model(model, tokenizer, tmp_path / "model")
        return model, tmp_path / "model"

    return save


@architectures
@tied_or_not
def test_save_and_load_keep_every_bit(architecture, tied, saved, tokenizer):
    model, folder = saved(architecture, tied=tied)
    loaded = load_model(folder, "cpu")
    assert not loaded.training
    ours, theirs = dict(model.named_parameters()), dict(loaded.named_parameters())
    assert list(ours) == list(theirs)
    for name, parameter in ours.items():
        assert theirs[name].dtype == torch.float32
        assert torch.equal(parameter, theirs[name])
    again = load_tokenizer(folder)
    text = "Question: who wrote it?\nAnswer: nobody knows."
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.eos_token_id == tokenizer.eos_token_id
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, loaded(ids).logits)
    assert positions(folder) == 128
    assert not folder.with_name("model.partial").exists()


def test_load_takes_the_asked_dtype(saved):
    model, folder = saved(dtype=torch.float64)
    loaded = load_model(folder, "cpu", "float64")
    for ours, theirs in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert all(p.dtype == torch.float32 for p in load_model(folder, "cpu").parameters())


@pytest.mark.parametrize("left", [(), ("config.json",)], ids=["nothing", "config"])
def test_load_of_a_folder_without_a_model_is_a_model_error(left, saved, tmp_path):
    _, folder = saved()
    for path in folder.iterdir():
        if path.name not in left:
            path.unlink()
    with pytest.raises(DamagedError, match="not a model folder") as error:
        load_model(folder, "cpu")
    assert_one_line(error)
    with pytest.raises(ModelError):
        load_model(tmp_path / "nowhere", "cpu")


def test_load_of_a_diverged_run_is_a_model_error(tmp_path):
    folder = tmp_path / "model"
    record_divergence(folder, 7, "non-finite weights")
    assert diverged(folder) == {"step": 7, "reason": "non-finite weights"}
    with pytest.raises(ModelError, match="diverged") as error:
        load_model(folder, "cpu")
    assert_one_line(error)


def test_record_of_divergence_replaces_an_older_model_and_the_reverse(saved, tokenizer):
    model, folder = saved()
    assert diverged(folder) is None
    record_divergence(folder, 1, "why")
    assert [p.name for p in folder.iterdir()] == [DIVERGED]
    save_model(model, tokenizer, folder)
    assert diverged(folder) is None
    load_model(folder, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_absent_gpu_is_a_model_error():
    assert find_device("auto").type == "cpu"
    with pytest.raises(ModelError, match="no GPU"):
        find_device("cuda")


# Checkpoints.
@pytest.mark.parametrize(
    ("every", "last", "steps"),
    [(5, 12, [5, 10]), (5, 10, [5]), (5, 4, []), (1, 3, [1, 2])],
)
def test_trajectory_holds_original_checkpoints_and_final_model_once(
    every, last, steps, tiny_model, tmp_path
):
    model = tiny_model(dtype=torch.float32)
    checkpoints = Checkpoints(tmp_path / "work", last)
    for step in [0, *range(every, last, every), last]:
        checkpoints.at(model, step, {})
    checkpoints.move(tmp_path / "checkpoints")
    folders = trajectory("original", tmp_path / "checkpoints", "final", last)
    assert [step for step, _ in folders] == [0, *steps, last]
    assert folders[0][1].name == "original" and folders[-1][1].name == "final"
    for _, folder in folders[1:-1]:
        for a, b in zip(model.parameters(), load_model(folder, "cpu").parameters(), strict=True):
            assert torch.equal(a, b)


def test_trajectory_of_a_diverged_run_has_no_final_model(tiny_model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", 9)
    for step in (1, 2):
        checkpoints.at(tiny_model(), step, {})
    steps = [step for step, _ in trajectory("o", tmp_path / "checkpoints", "f", None)]
    assert steps == [0, 1, 2]


def test_trajectory_is_in_order_of_steps(tmp_path):
    for step in (100000, 20, 5):
        (tmp_path / f"step-{step:05d}").mkdir()
    steps = [step for step, _ in trajectory("o", tmp_path, "f", 200000)]
    assert steps == [0, 5, 20, 100000, 200000]


def test_weights_that_are_missing_are_not_drawn_at_random(saved):
    _, folder = saved()
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "layers.1" in name)
    kept = {name: tensor for name, tensor in tensors.items() if name != lost}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DamagedError, match=f"no weights of {re.escape(lost)}") as error:
        load_model(folder)
    assert_one_line(error)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(saved, value):
    model, folder = saved()
    check_finite(model, folder)
    name, parameter = list(model.named_parameters())[3]
    parameter.data.view(-1)[1] = value
    with pytest.raises(DamagedError, match=f"weights {re.escape(name)} are not all finite"):
        check_finite(model, folder)

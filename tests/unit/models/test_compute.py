"""What numbers depend on besides the data: device, threads, determinism, precision."""

import contextlib

import pytest
import torch

from geffect.errors import ModelError
from geffect.models import compute


@pytest.fixture(autouse=True)
def _restored():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with compute.computing_in("float32"):
        yield
    torch.set_float32_matmul_precision("highest")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_a_job_computes_with_the_configured_threads_and_deterministically():
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert compute.prepare("cpu", 2) == torch.device("cpu")
    assert torch.get_num_threads() == 2
    compute.prepare("cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled(), "some have no such version"
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_the_gpu_where_there_is_one(there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert compute.find_device("auto") == torch.device("cuda" if there else "cpu")
    assert compute.find_device() == compute.find_device("auto")
    assert compute.find_device("cpu") == torch.device("cpu")
    if there:
        assert compute.find_device("cuda:1") == torch.device("cuda:1")
    else:
        with pytest.raises(ModelError, match="'cuda:1'"):
            compute.find_device("cuda:1")


def test_the_precision_of_a_forward_pass_is_the_configured_one(tiny_model):
    model = tiny_model(dtype=torch.float32)
    ids = torch.tensor([[1, 2, 3]])
    dtypes = {}
    for precision in ("float32", "bf16"):
        compute.prepare("cpu", precision=precision)
        with compute.autocast(compute.input_device(model)):
            dtypes[precision] = model(input_ids=ids).logits.dtype
    assert dtypes == {"float32": torch.float32, "bf16": torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_precision_ends_where_its_context_does():
    def in_force():
        return isinstance(compute.autocast(torch.device("cpu")), torch.autocast)

    with compute.computing_in("bf16"):
        with compute.computing_in("float32"):
            assert not in_force()
        assert in_force()
        with pytest.raises(RuntimeError, match="inside"), compute.computing_in("float32"):
            raise RuntimeError("inside")
        assert in_force()
    assert not in_force()
    with pytest.raises(ModelError, match="'fp16' is unknown; use float32 or bf16"):
        compute.prepare("cpu", precision="fp16")
    assert not in_force()


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_as_configured(tf32):
    compute.prepare("cpu", tf32=tf32)
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"precision": "bf16"}, "precision: bf16"),
        ({"tf32": True}, "tf32: true"),
        ({}, None),
    ],
)
@pytest.mark.parametrize("able", [False, True])
def test_a_gpu_without_the_number_format_is_refused(asked, named, able, monkeypatch):
    def supported(including_emulation=True):
        return able or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    if able or named is None:
        assert compute.prepare("cuda", **asked) == torch.device("cuda")
    else:
        with pytest.raises(ModelError, match=f"{named}: Tesla V100 .*7.0.*needs 8.0; set"):
            compute.prepare("cuda", **asked)


def test_token_ids_go_where_the_embedding_is(tiny_model):
    assert compute.input_device(tiny_model()) == torch.device("cpu")
    assert compute.input_device(tiny_model().to("meta")) == torch.device("meta")


def test_after_an_evaluation_each_module_is_in_its_own_mode(tiny_model, rng):
    model = tiny_model()
    for module in model.modules():
        module.training = bool(rng.integers(2))
    before = [module.training for module in model.modules()]
    with pytest.raises(ZeroDivisionError), compute.evaluating(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before

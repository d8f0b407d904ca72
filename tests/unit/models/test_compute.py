"""What numbers depend on besides the data: device, threads, determinism, precision."""

import pytest
import torch

from geffect.errors import ModelError
from geffect.models import compute


@pytest.fixture(autouse=True)
def _restored():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
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
        with compute.autocast(precision, compute.input_device(model)):
            dtypes[precision] = model(input_ids=ids).logits.dtype
    assert dtypes == {"float32": torch.float32, "bf16": torch.bfloat16}


def test_token_ids_go_where_the_embedding_is(tiny_model):
    assert compute.input_device(tiny_model()) == torch.device("cpu")
    assert compute.input_device(tiny_model().to("meta")) == torch.device("meta")

"""What the tests of the G-effect engine share: precisions, and gradients one by one."""

import numpy as np
import pytest


@pytest.fixture(
    params=[
        pytest.param(("phi", "float32", 1e-5), id="phi-float32"),
        pytest.param(("llama", "float32", 1e-5), id="llama-float32"),
        pytest.param(("phi", "float64", 1e-10), id="phi-float64"),
        # Llama's norms compute in float32 whatever the dtype of the weights.
        pytest.param(("llama", "float64", 1e-6), id="llama-float64"),
    ]
)
def precision(request):
    """(architecture, dtype, tolerance relative to the product of both norms)."""
    import torch

    architecture, dtype, tolerance = request.param
    return architecture, getattr(torch, dtype), tolerance


@pytest.fixture
def per_label(naive_view):
    """A function: for an example alone, the float64 gradient of log p_i of every label.

    Or, `of` "logp_runner_up", of the most probable token other than that.
    """
    import torch

    def compute(model, example, of="logp"):
        view = naive_view(model, example)
        names, parameters = zip(*model.named_parameters(), strict=True)
        return [
            dict(
                zip(
                    names,
                    (
                        np.zeros(tuple(p.shape)) if g is None else g.double().numpy()
                        for p, g in zip(
                            parameters,
                            torch.autograd.grad(
                                value, parameters, retain_graph=True, allow_unused=True
                            ),
                            strict=True,
                        )
                    ),
                    strict=True,
                )
            )
            for value in getattr(view, of)[view.mask]
        ]

    return compute


@pytest.fixture
def direction(rng):
    """A function: a random direction in a model's parameter space."""
    import torch

    def draw(model):
        return {
            name: torch.from_numpy(rng.normal(size=tuple(p.shape))).to(p.dtype)
            for name, p in model.named_parameters()
        }

    return draw

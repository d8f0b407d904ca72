"""Products of gradients, and what a distribution says, one by one: the oracle of the engine."""

import math

import numpy as np

from geffect.effects.gradients import places


def summed(gradients):
    """The sum of some gradients."""
    return {name: sum(g[name] for g in gradients) for name in gradients[0]}


def products(a, b, components):
    """place -> (a · b, ‖a‖ ‖b‖) for numpy gradients."""
    found = {}
    for place in places(components):
        names = [
            name
            for name, (component, block) in components.items()
            if place == "total" or place in (component, f"layer.{block}")
        ]

        def inner(x, y, names=names):
            return math.fsum(float(np.vdot(x[name], y[name])) for name in names)

        found[place] = inner(a, b), math.sqrt(inner(a, a) * inner(b, b))
    return found


def numpy_of(direction):
    return {name: g.double().numpy() for name, g in direction.items()}


def runner_up(probabilities, label):
    """The id of the most probable token other than the label."""
    return max((v for v in range(len(probabilities)) if v != label), key=probabilities.__getitem__)


def entropy(probabilities):
    """-Σ p log p in nats."""
    return -math.fsum(p * math.log(p) for p in probabilities)

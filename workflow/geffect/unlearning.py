"""One cell's unlearning run, from the original model to what it leaves behind."""

from collections.abc import Callable
from functools import cached_property

from geffect import models, runtime, training
from geffect.cell import Cell
from geffect.registry import REFERENCE_NEEDS
from geffect.training import Outcome, Settings

Watch = Callable[..., None]


class Run:
    """A cell's run: the model that is trained, and the cell's draws.

    Args:
        cell: what is unlearned, and how.
        original: the folder of θ_o.
        device: where to compute (`models.device`).
    """

    def __init__(self, cell: Cell, original, device: str):
        self.cell, self.original, self.device = cell, original, device
        self.model = models.load(original, device)
        self.draws = cell.draw(self.model.config.hidden_size)

    @cached_property
    def _reference(self):
        return models.load(self.original, self.device)

    def reference(self, needs: frozenset):
        """θ_o where losses with these needs look at it (`registry.NEEDS`), None elsewhere."""
        return self._reference if needs & REFERENCE_NEEDS else None

    def train(self, settings: Settings, every: int, watch: Watch, what: str) -> Outcome:
        """Trains the model in place away from D_u.

        `watch(model, step, last)` is called before the first update (step 0), after every
        `every`-th, and after the last one, with the model in evaluation mode.
        """
        cell, last = self.cell, settings.steps(len(self.cell.forget))

        def after(step: int) -> None:
            if step % every == 0 or step == last:
                self.model.eval()
                watch(self.model, step, last)
                self.model.train()

        watch(self.model, 0, last)
        return training.train(
            self.model,
            cell.training_terms(settings),
            settings,
            len(cell.forget),
            what,
            reference=self.reference(cell.needs),
            control=self.draws.control_vector,
            seed=cell.seed,
            after=after,
        )

    def save(self, outcome: Outcome, output) -> None:
        """Writes `output.model` (of a diverged run: the record of that), `.draws`, `.training`."""
        if outcome.diverged:
            models.record_divergence(output.model, *outcome.diverged)
            runtime.log.warning("diverged at step %d: %s", *outcome.diverged)
        else:
            models.save(self.model, self.cell.encoder.tokenizer, output.model)
        self.draws.save(output.draws)
        outcome.frame().to_parquet(output.training, index=False)


def record(inputs, output, wildcards, params, outcome: Outcome) -> dict:
    """What a run was made of: its cell, settings, code, and the hashes of data and weights."""
    return {
        "cell": dict(wildcards.items()),
        "settings": {name: value for name, value in params.items() if name != "code"},
        "code": params.code,
        "data": {name: runtime.sha256(inputs[name]) for name in ("forget", "retain", "refusals")},
        "weights": {
            "original": runtime.hash_folder(inputs.original),
            "unlearned": runtime.hash_folder(output.model),
        },
        "diverged": outcome.diverged,
        **runtime.provenance(),
    }

"""Training settings that tests start from."""

from geffect.training.settings import TrainingSettings

PAPER = TrainingSettings(
    epochs=5,
    batch_size=16,
    micro_batch_size=4,
    learning_rate=2e-5,
    weight_decay=0.0,
    warmup_epochs=1,
    schedule="linear",
    max_grad_norm=1.0,
)

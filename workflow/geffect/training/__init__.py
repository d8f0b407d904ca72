"""The only training loop, its resume states, fine-tuning, and the unlearning run of one cell."""

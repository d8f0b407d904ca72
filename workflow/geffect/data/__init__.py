"""From sources of questions and answers to batches of token ids."""

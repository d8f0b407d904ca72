"""Batches: padded with EOS, which no label is made of."""

import pytest
import torch
from common import EOS

from geffect.data.batches import IGNORED, collate
from geffect.data.encoding import Example


@pytest.mark.parametrize("extra", [None, 0, 3])
def test_rows_keep_their_tokens_and_are_padded_with_eos(extra, random_examples):
    examples = random_examples(5)
    longest = max(map(len, examples))
    batch = collate(examples, None if extra is None else longest + extra)
    assert batch.input_ids.shape == batch.labels.shape == (5, longest + (extra or 0))
    for example, ids, labels in zip(examples, batch.input_ids, batch.labels, strict=True):
        end, start = len(example), example.prompt_length
        assert ids[:end].tolist() == list(example.ids)
        assert (ids[end:] == EOS).all()
        assert labels[start:end].tolist() == list(example.labels)
        assert (labels[:start] == IGNORED).all() and (labels[end:] == IGNORED).all()
    assert batch.all_positions == (extra is not None)
    if extra is not None:
        assert batch.attention_mask.sum(dim=1).tolist() == [len(e) for e in examples]


def test_a_row_longer_than_what_is_padded_to_is_kept_whole(random_examples):
    examples = random_examples(4)
    batch = collate(examples, 2)
    assert batch.input_ids.shape[1] == max(map(len, examples))
    assert batch.all_positions


def test_losses_look_from_the_first_position_that_predicts_a_label():
    examples = [Example((1, 2, 3, 4, EOS), 3), Example((1, 2, 3, EOS), 2)]
    assert collate(examples).start == 1
    assert collate(examples, 9).start == 0
    assert collate(examples).label_count == 4
    assert collate(examples, 9).label_count == 18, "every position counts"


def test_moving_a_batch_keeps_all_that_it_holds(random_examples):
    for pad_to in (None, 20):
        batch = collate(random_examples(3), pad_to)
        moved = batch.to("cpu")
        for name, value in vars(batch).items():
            found = getattr(moved, name)
            same = torch.equal(found, value) if torch.is_tensor(value) else found == value
            assert same, name
    meta = batch.to("meta")
    assert meta.input_ids.is_meta and meta.labels.is_meta and meta.attention_mask.is_meta

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.training.order import SampleOrder, deal

GROUPS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def make_order(sizes, *, seed=0, num_streams=4, shuffle_buffer=8, batch=4, buckets=None):
    return SampleOrder(
        sizes,
        seed=seed,
        num_streams=num_streams,
        shuffle_buffer=shuffle_buffer,
        global_batch_size=batch,
        buckets=None if buckets is None else np.asarray(buckets, dtype=np.int64),
    )


def uses(batches):
    return [pair for b in batches for pair in zip(b.epochs.tolist(), b.indices.tolist(), strict=True)]


@settings(deadline=None)
@given(GROUPS, st.integers(0, 99), st.integers(1, 8), st.integers(1, 20))
def test_every_sample_once_per_epoch(sizes, seed, num_streams, shuffle_buffer):
    order = make_order(sizes, seed=seed, num_streams=num_streams, shuffle_buffer=shuffle_buffer)
    for epoch in (0, 3):
        indices, streams = order.epoch(epoch)
        assert sorted(indices.tolist()) == list(range(sum(sizes)))
        assert len(streams) == len(indices)
        assert set(streams.tolist()) <= set(range(min(num_streams, len(sizes))))


@settings(deadline=None)
@given(GROUPS, st.integers(1, 7))
def test_batches_without_buckets_are_the_epochs_one_after_the_other(sizes, batch):
    order = make_order(sizes, batch=batch)
    found = uses(islice(order.batches(), 3 * sum(sizes) // batch))
    expected = [(epoch, index) for epoch in range(3) for index in order.epoch(epoch)[0].tolist()]
    assert found == expected[: len(found)]


@settings(deadline=None)
@given(GROUPS, st.data(), st.integers(1, 6))
def test_buckets_lose_and_double_nothing(sizes, data, batch):
    total = sum(sizes)
    buckets = np.array(data.draw(st.lists(st.integers(0, 2), min_size=total, max_size=total)))
    order = make_order(sizes, batch=batch, buckets=buckets)
    batches = list(islice(order.batches(), 3 * total // batch))
    for b in batches:
        assert set(buckets[b.indices].tolist()) == {b.bucket}
        assert len(b.indices) == batch
    found = uses(batches)
    assert len(set(found)) == len(found)
    # Of each bucket, what came is a beginning of its own sequence: nothing was passed over.
    sequence = [(epoch, index) for epoch in range(4 * batch * 3 + 4) for index in order.epoch(epoch)[0].tolist()]
    for bucket in range(3):
        own = [pair for pair in found if buckets[pair[1]] == bucket]
        assert own == [pair for pair in sequence if buckets[pair[1]] == bucket][: len(own)]


@settings(deadline=None)
@given(GROUPS, st.data(), st.integers(1, 6), st.integers(0, 30))
def test_starting_at_a_step_equals_continuing_to_it(sizes, data, batch, start):
    total = sum(sizes)
    buckets = data.draw(st.none() | st.lists(st.integers(0, 3), min_size=total, max_size=total))
    order = make_order(sizes, batch=batch, buckets=buckets)
    continued = list(islice(order.batches(), start, start + 5))
    started = list(islice(order.batches(start), 5))
    assert [b.step for b in started] == list(range(start, start + 5))
    for a, b in zip(continued, started, strict=True):
        assert (a.step, a.bucket) == (b.step, b.bucket)
        for name in ("indices", "epochs", "streams"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=12, max_size=12))
def test_dealing_gives_every_rank_its_share(streams):
    streams = np.array(streams)
    for world_size in (1, 2, 3, 4, 6):
        ranks = deal(streams, world_size)
        assert np.bincount(ranks, minlength=world_size).tolist() == [12 // world_size] * world_size


def test_dealing_keeps_streams_with_their_rank_where_it_can():
    np.testing.assert_array_equal(deal(np.array([0, 1, 2, 3, 4, 5]), 2), [0, 1, 0, 1, 0, 1])
    # Rank 0 owns four of six; the highest of its streams goes to rank 1.
    np.testing.assert_array_equal(deal(np.array([4, 0, 1, 2, 6, 3]), 2), [0, 0, 1, 0, 1, 1])


def test_order_differs_by_epoch_and_seed_and_is_no_identity():
    order = make_order([64] * 8)
    first, second, other = order.epoch(0)[0], order.epoch(1)[0], make_order([64] * 8, seed=1).epoch(0)[0]
    identity = np.arange(512)
    for a, b in ((first, second), (first, other), (first, identity)):
        assert (a == b).mean() < 0.05
    np.testing.assert_array_equal(first, make_order([64] * 8).epoch(0)[0])


def test_neighbours_are_torn_apart():
    order = make_order([64] * 64, num_streams=16, shuffle_buffer=128)
    epochs = [order.epoch(epoch)[0] for epoch in range(30)]
    for indices in epochs:
        assert np.median(np.abs(np.diff(np.argsort(indices)))) > 200
    correlations = [np.corrcoef(np.arange(64 * 64), indices)[0, 1] for indices in epochs]
    assert abs(np.mean(correlations)) < 0.1


def test_a_buffer_of_one_leaves_row_groups_in_order():
    indices, streams = make_order([5, 5, 5, 5], num_streams=2, shuffle_buffer=1).epoch(0)
    for stream in range(2):
        own = indices[streams == stream].reshape(2, 5)
        assert (np.diff(own, axis=1) == 1).all()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 60), st.integers(0, 20))
def test_a_row_group_comes_out_within_the_span(num_groups, num_streams, shuffle_buffer, seed):
    order = make_order([7] * num_groups, seed=seed, num_streams=num_streams, shuffle_buffer=shuffle_buffer)
    indices, _ = order.epoch(0)
    position = np.argsort(indices).reshape(num_groups, 7)
    assert (position.max(axis=1) - position.min(axis=1)).max() <= order.span


def test_streams_take_turns():
    _, streams = make_order([6] * 8, num_streams=4).epoch(0)
    np.testing.assert_array_equal(streams, np.tile(np.arange(4), 12))


@pytest.mark.parametrize("world_size", [2, 4])
def test_owning_streams_keeps_row_groups_with_one_rank(world_size):
    order = make_order([16] * 64, num_streams=16, shuffle_buffer=32, batch=16)
    readers = [set() for _ in range(64)]
    for b in islice(order.batches(), 64):
        for index, rank in zip(b.indices.tolist(), deal(b.streams, world_size).tolist(), strict=True):
            readers[index // 16].add(rank)
    assert sum(len(ranks) for ranks in readers) == 64

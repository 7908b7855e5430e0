import threading
from concurrent.futures import CancelledError

import pytest

from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.reading import ShardReader
from momalisa.errors import UnavailableError
from momalisa.training.stream import RowStream
from tests.support.counting import CountingStore
from tests.support.shards import write_dataset


@pytest.fixture
def dataset(tmp_path):
    write_dataset(str(tmp_path), num_train=20, rows_per_group=4, rows_per_shard=20)
    return StoredDataset.open(str(tmp_path))


def make_stream(dataset, store=None, **options):
    return RowStream(ShardReader(store or dataset.store), dataset.row_groups("train"), ("text",), **options)


def fetches(store):
    """Reads but for footers."""
    return len(store.reads) - len({key for key, _, _ in store.reads})


def test_gives_the_rows_that_were_planned(dataset):
    stream = make_stream(dataset, span=20)
    indices = [19, 0, 7, 3, 18]
    stream.plan([0] * 5, indices)
    stream.begin(5)
    assert [stream.take(0, i)["text"] for i in indices] == [f"picture {i} of train" for i in indices]
    stream.close()


def test_one_fetch_serves_an_epoch(dataset):
    store = CountingStore(dataset.store)
    stream = make_stream(dataset, store, span=20)
    order = [i for offset in range(4) for i in range(offset, 20, 4)]
    for epoch in (0, 1):
        stream.plan([epoch] * 20, order)
    for number, (epoch, index) in enumerate((e, i) for e in (0, 1) for i in order):
        stream.begin(number + 1)
        assert stream.take(epoch, index)["text"] == f"picture {index} of train"
    assert fetches(store) == 10
    stream.close()


def test_only_rows_that_are_needed_are_kept(dataset):
    stream = make_stream(dataset, span=20)
    stream.plan([0, 0], [0, 1])
    stream.begin(2)
    visit = stream._uses[0, 0]
    assert stream.take(0, 0)["text"] == "picture 0 of train"
    assert list(visit.rows.result()) == [1]
    stream.close()


def test_fetches_a_few_row_groups_before_they_are_due(dataset):
    store = CountingStore(dataset.store)
    stream = make_stream(dataset, store, span=1, num_ahead=2)
    stream.plan([0] * 20, range(20))
    stream.begin(1)
    stream.close()
    assert len(stream._planned) == 3


def test_a_row_group_is_not_fetched_before_all_its_uses_are_planned(dataset):
    stream = make_stream(dataset, span=8, num_ahead=5)
    stream.plan([0] * 8, [0, 4, 1, 5, 2, 6, 3, 7])
    stream.begin(0)
    assert len(stream._planned) == 1
    stream.close()


def test_a_failed_fetch_is_raised_at_each_of_its_rows(dataset):
    store = CountingStore(dataset.store, fail=lambda key: UnavailableError("the bucket is down"))
    stream = make_stream(dataset, store, span=20)
    stream.plan([0, 0], [0, 1])
    stream.begin(2)
    for index in (0, 1):
        with pytest.raises(UnavailableError, match="bucket is down"):
            stream.take(0, index)
    stream.close()


def test_close_cancels_what_waits_and_waits_for_what_runs(dataset, monkeypatch):
    gate = threading.Event()
    store = CountingStore(dataset.store, fail=lambda key: None if gate.wait(60) else AssertionError("never opened"))
    stream = make_stream(dataset, store, span=20, num_threads=1)
    stream.plan([0] * 5, range(0, 20, 4))
    stream.begin(5)
    shutdown = stream._pool.shutdown

    def shut_down_then_answer(**options):
        shutdown(**options)
        gate.set()

    monkeypatch.setattr(stream._pool, "shutdown", shut_down_then_answer)
    stream.close()
    with pytest.raises(CancelledError):
        stream.take(0, 16)
    assert stream.take(0, 0)["text"] == "picture 0 of train"


def test_many_threads_take_each_its_own(dataset):
    stream = make_stream(dataset, span=20)
    stream.plan([0] * 20, range(20))
    stream.begin(20)
    found = {}

    def take(index):
        found[index] = stream.take(0, index)["text"]

    threads = [threading.Thread(target=take, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: f"picture {i} of train" for i in range(20)}
    stream.close()

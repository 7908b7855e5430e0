"""A training worker's words on their way to the run's folder, its last ones too.

A process beside the worker reads the files that its stdout and stderr lead to. So what was written before an abort, a
crash in native code or a SIGKILL is shipped all the same, and the worker never waits for a reader. Its standard input
ends with the worker, and then it ends too.
"""

import os
import select
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from momalisa.errors import StorageError
from momalisa.job_folder import ERRORS, RankError, error_key, now
from momalisa.log_shipping import QUICK, LogShipper
from momalisa.storage import Store, open_store

_LOOK_EVERY_S = 0.25
_CHUNK_BYTES = 1 << 20
_CLOSING_TIMEOUT_S = 30.0
_READER = "import os, sys; os.fork() and os._exit(0); from momalisa.rank_log import read; read(*sys.argv[1:])"
"""Ray kills the children of a worker that it ends; this one's child is nobody's."""


@contextmanager
def shipped_rank(job_folder_uri: str | None, rank: int, num_ranks: int) -> Iterator[None]:
    """Within it, all that this process prints goes to the run's folder too, and the exception that ends it.

    None changes nothing: a run that is no job on a cluster.
    """
    if job_folder_uri is None:
        yield
        return
    store = open_store(job_folder_uri, QUICK)
    _forget_errors(store, rank, num_ranks)
    with _shipped(job_folder_uri, f"rank-{rank}"):
        try:
            yield
        except BaseException as e:
            _record_error(store, rank, e)
            raise


@contextmanager
def _shipped(job_folder_uri: str, source: str) -> Iterator[None]:
    """Of stdout and stderr, whatever library writes to their descriptors."""
    with ExitStack() as stack:
        try:
            _begin(stack, job_folder_uri, source)
        except OSError as e:
            _say(f"what this rank prints is not shipped to {job_folder_uri} ({e})")
        yield


def _begin(stack: ExitStack, job_folder_uri: str, source: str) -> None:
    """What the stack does in the end it does in the opposite order."""
    _flush()
    outputs = [_Output(1, 2)] if _lead_to_one_file(1, 2) else [_Output(1), _Output(2)]
    for output in outputs:
        stack.callback(output.close)
    stack.callback(_end, _start_reader(job_folder_uri, source, outputs))
    for output in outputs:
        stack.callback(output.restore)
    stack.callback(_flush)


class _Output:
    """What stdout, stderr or both lead to, as a file that another process can read.

    Ray's workers write to files. Anything else (a pipe, a terminal) gives way to a file that is echoed to it.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self.echo = None if stat.S_ISREG(os.fstat(numbers[0]).st_mode) else os.dup(numbers[0])
        if self.echo is not None:
            with tempfile.TemporaryFile() as file:
                self._lead_to(file.fileno())
        # Opened anew: the descriptor itself is for writing.
        self.file = os.open(f"/proc/self/fd/{numbers[0]}", os.O_RDONLY)
        self.start = os.fstat(self.file).st_size

    @property
    def in_words(self) -> str:
        """For the reader's command."""
        return ":".join(str(number) for number in (self.file, self.start, self.echo) if number is not None)

    def restore(self) -> None:
        if self.echo is not None:
            self._lead_to(self.echo)

    def close(self) -> None:
        for descriptor in (self.file, self.echo):
            if descriptor is not None:
                os.close(descriptor)

    def _lead_to(self, descriptor: int) -> None:
        for number in self._numbers:
            os.dup2(descriptor, number)


def _lead_to_one_file(first: int, second: int) -> bool:
    return os.path.samestat(os.fstat(first), os.fstat(second))


def _start_reader(job_folder_uri: str, source: str, outputs: Sequence[_Output]) -> "subprocess.Popen[bytes]":
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, job_folder_uri, source, *(output.in_words for output in outputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[number for output in outputs for number in (output.file, output.echo) if number is not None],
        start_new_session=True,  # what ends the worker's group must not end its reader
    )
    reader.wait()  # for the parent of what reads
    return reader


def _end(reader: "subprocess.Popen[bytes]") -> None:
    """Until all is shipped, or the time is over; the reader's standard output ends with it."""
    assert reader.stdin is not None
    assert reader.stdout is not None
    with suppress(BrokenPipeError), reader.stdin as telling:
        # Told, not only closed: a process that was forked meanwhile holds the pipe open.
        telling.write(b"\n")
    with reader.stdout as ending:
        poll = select.poll()  # select() takes no descriptor above 1023, and a worker may have opened that many
        poll.register(ending, select.POLLHUP)
        poll.poll(_CLOSING_TIMEOUT_S * 1000)


def _forget_errors(store: Store, rank: int, num_ranks: int) -> None:
    """Those of an earlier worker group were recovered from. Each rank its own, rank 0 those of ranks that are gone."""
    forgotten = [error_key(rank)]
    try:
        if rank == 0:
            of_this_group = {error_key(number) for number in range(num_ranks)}
            forgotten += [entry.key for entry in store.list(ERRORS) if entry.key not in of_this_group]
        for key in forgotten:
            store.delete(key)
    except StorageError as e:
        _say(f"earlier errors cannot be removed from {store.uri} ({e})")


def _record_error(store: Store, rank: int, error: BaseException) -> None:
    lines = traceback.format_exception(error)
    record = RankError(
        rank=rank,
        time=now(),
        exception=traceback.format_exception_only(error)[-1].strip(),
        traceback="".join(lines)[-20_000:],
        node=os.uname().nodename,
    )
    try:
        store.write_bytes(error_key(rank), record.model_dump_json(indent=1).encode())
    except StorageError as e:
        _say(f"the error of rank {rank} cannot be written to {store.uri} ({e})")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _say(message: str) -> None:
    sys.stderr.write(f"warning: {message}\n")
    sys.stderr.flush()


def read(uri: str, source: str, *described: str) -> None:
    """The process beside the worker, until that ends or tells it to. described: see `_Output.in_words`."""
    shipper = LogShipper(open_store(uri, QUICK), source, warn=_say)
    shipper.add(f"--- {source} on {os.uname().nodename} begins at {now():%Y-%m-%d %H:%M:%S} UTC\n".encode())
    shipper.start()
    copies = [_Copy(*(int(number) for number in words.split(":"))) for words in described]
    has_ended = False
    while not has_ended:
        has_ended = bool(select.select([0], [], [], _LOOK_EVERY_S)[0])
        for copy in copies:
            copy.advance(shipper)
    shipper.close(_CLOSING_TIMEOUT_S)


class _Copy:
    """One file's way into the log."""

    def __init__(self, file: int, position: int, echo: int | None = None) -> None:
        self._file = file
        self._position = position
        self._echo = echo

    def advance(self, shipper: LogShipper) -> None:
        """To its present end, so that a file which never stops growing is no reason to stay."""
        end = os.fstat(self._file).st_size
        while self._position < end and (data := os.pread(self._file, _CHUNK_BYTES, self._position)):
            self._position += len(data)
            shipper.add(data)
            if self._echo is not None:
                with suppress(OSError):  # who read it has gone; the log goes on
                    os.write(self._echo, data)

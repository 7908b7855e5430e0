"""A Cloud Storage for the tests: a real server process behind a proxy that fails on demand."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.support.gcs_emulator import EmulatorUnavailableError, GcsEmulator, running_emulator


@pytest.fixture(scope="session")
def _running_emulator() -> Iterator[GcsEmulator]:
    try:
        with running_emulator() as emulator, pytest.MonkeyPatch.context() as patch:
            for name, value in emulator.environment.items():
                patch.setenv(name, value)
            yield emulator
    except EmulatorUnavailableError as e:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(e))


@pytest.fixture
def gcs_emulator(_running_emulator: GcsEmulator) -> Iterator[GcsEmulator]:
    """The emulator, without faults at first; this process and its children take it for Google's."""
    _running_emulator.set_faults()
    yield _running_emulator
    _running_emulator.set_faults()


@pytest.fixture
def gcs_bucket(gcs_emulator: GcsEmulator) -> str:
    """The URI of a new, empty bucket."""
    return gcs_emulator.create_bucket(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def faulty_gcs(gcs_emulator: GcsEmulator) -> GcsEmulator:
    """The emulator with a tenth of all requests failing, each kind of fault equally often; stalls are short.

    `set_faults(...)` changes that; `num_faults()` proves that it happened.
    """
    gcs_emulator.set_faults(share=0.1, stall_s=1.0, seed=1)
    return gcs_emulator

"""For all tests: nothing of the person's own home or cloud is read or written."""

import os

import pytest

from momalisa.caches import cache_folder
from tests.support import gcs_emulator  # noqa: F401  (notes the real home, where Go keeps its modules)

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; tests may run side by side


@pytest.fixture(autouse=True, scope="session")
def _temporary_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ.setdefault("MOMALISA_CACHE", str(cache_folder("")))  # what is built once stays where it is
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "CLOUDSDK_CONFIG"):
        os.environ.pop(name, None)

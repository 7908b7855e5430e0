import os
import platform
import time

import pytest

from momalisa.errors import ConfigError
from momalisa.storage import open_store
from momalisa.training.lease import OWNER_KEY, Owner, owning


def leave_owner(output, **changes):
    owner = {"token": "other", "node": "elsewhere", "pid": 1, "renewed": time.time(), **changes}
    output.write_bytes(OWNER_KEY, Owner(**owner).model_dump_json().encode())


def test_a_second_driver_is_refused_until_the_first_ends(tmp_path):
    output = open_store(str(tmp_path))
    with owning(output):
        with (
            pytest.raises(ConfigError, match=f"another run writes to .*process {os.getpid()} on {platform.node()}"),
            owning(output),
        ):
            pass
        assert output.exists(OWNER_KEY)
    with owning(output):
        pass
    assert not output.exists(OWNER_KEY)


def test_one_at_work_on_another_machine_is_respected(tmp_path):
    output = open_store(str(tmp_path))
    leave_owner(output)
    with pytest.raises(ConfigError, match="on elsewhere"), owning(output):
        pass


@pytest.mark.parametrize("changes", [{"renewed": 0}, {"node": platform.node(), "pid": 2**22 - 1}])
def test_one_that_was_killed_is_replaced(tmp_path, changes):
    output = open_store(str(tmp_path))
    leave_owner(output, **changes)
    with owning(output):
        assert b'"other"' not in output.read_bytes(OWNER_KEY)


def test_nonsense_is_replaced(tmp_path):
    output = open_store(str(tmp_path))
    output.write_bytes(OWNER_KEY, b"{")
    with owning(output):
        pass

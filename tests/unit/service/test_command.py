"""Wrong arguments of `serve/app.py`, refused before Ray starts."""

from pathlib import Path

import pytest

from momalisa.errors import ConfigError
from momalisa.service import command
from momalisa.service.config import Limits
from momalisa.service.structure import GatewayLife, Structure


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "80000"), "--port 80000: take one from 1 to 65535"),
        (("--model", "="), "--model '='"),
        (("--state", "/proc/nowhere"), "cannot be made"),
        (("--config", "/nowhere.json"), "--config /nowhere.json"),
        (("--bucket", "nonsense://there"), "nonsense"),
        (("--renderers", "0"), "0-1 is one that sleeps"),
        (("--renderers", "3-1"), "the smaller number comes first: 1-3"),
        (("--renderers", "many"), "say how many, such as 2"),
        (("--renderers", "-2"), "say how many, such as 2"),
        (("--set", "renderer.downscale=3"), "did you mean renderer.downscale_delay_s"),
        (("--set", "renderer.downscale_delay_s=-3"), "take 0 or more"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    assert command.main(["--state", str(tmp_path), *flags]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert said in printed


def test_a_key_that_is_unknown_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "life.json").write_text('{"gateway": {"limits": {"max_frame": 3}}}')
    assert command.main(["--state", str(tmp_path), "--config", str(tmp_path / "life.json")]) == 2
    assert "max_frames" in capsys.readouterr().err


def test_a_service_may_take_short_walks_only(tmp_path: Path) -> None:
    structure = Structure(bucket=str(tmp_path), has_visitors=False)
    edge = structure.edge(GatewayLife(limits=Limits(max_frames=12)))
    assert edge.quick_num_frames == 12


def test_a_session_secret_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first = command._session_secrets(tmp_path / "secrets")
    content = first.read_text()
    assert command._session_secrets(tmp_path / "secrets").read_text() == content
    assert first.stat().st_mode & 0o077 == 0
    assert len(content) > 32


@pytest.mark.parametrize(("text", "bounds"), [("1", (1, 1)), ("2", (2, 2)), ("0-1", (0, 1)), ("1-4", (1, 4))])
def test_renderers_are_a_number_or_a_range(tmp_path: Path, text: str, bounds: tuple[int, int]) -> None:
    scale = command._structure(command._parse(["--state", str(tmp_path), "--renderers", text])).renderer
    assert (scale.min_replicas, scale.max_replicas) == bounds


def test_anything_of_the_structure_can_be_set(tmp_path: Path) -> None:
    flags = ["--state", str(tmp_path), "--release", "green", "--set", "renderer.downscale_delay_s=60"]
    structure = command._structure(command._parse(flags))
    assert (structure.release, structure.renderer.downscale_delay_s) == ("green", 60)


def test_more_streams_than_leave_room_for_anything_else_are_refused(tmp_path: Path) -> None:
    structure = command._structure(command._parse(["--state", str(tmp_path), "--set", "max_open_requests=1000"]))
    with pytest.raises(ConfigError, match="take fewer than max_open_requests, which is 1000"):
        structure.edge(GatewayLife())
    structure.edge(GatewayLife(limits=Limits(max_streams=900)))

"""Logs: sentences or JSON, and no secret in either."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidan.pipeline import masking
from vidan.pipeline.cli.logs import FORMATS, LogFormat, say_error, start_logging
from vidan.pipeline.cli.main import main

SECRET = "horse-battery-staple"


@pytest.fixture(autouse=True)
def _root_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(masking, "_kept", set())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("vidan").setLevel(logging.NOTSET)


def test_every_line_of_a_json_log_is_an_object_with_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("json", verbose=True)
    logger = logging.getLogger("vidan.pipeline.test")
    logger.warning("the camera %s is\ngone", "north", extra={"stream": "north"})
    try:
        raise ValueError("bug")
    except ValueError:
        logger.exception("internal error")
    say_error("two\nlines")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "the camera north is\ngone"
    assert (first["level"], first["stream"], first["logger"]) == ("warning", "north", "vidan.pipeline.test")
    assert first["time"].endswith("Z")
    assert "Traceback" in second["exception"]
    assert "ValueError: bug" in second["exception"]
    assert (third["level"], third["message"]) == ("error", "two\nlines")


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("text", verbose=False)
    logging.getLogger("vidan.pipeline.test").warning("the disk is full")
    logging.getLogger("vidan.pipeline.test").info("unheard")
    say_error("two\nlines")
    assert capsys.readouterr().err == "vidan: WARNING: the disk is full\nvidan: two\nvidan: lines\n"


@pytest.mark.parametrize("log_format", FORMATS)
def test_no_secret_is_logged_whoever_logs_it(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(log_format, verbose=True)
    masking.keep_secret(SECRET)
    logger = logging.getLogger("somebody.else")
    logger.warning("connecting to rtsp://admin:%s@cam with %s", "pass", SECRET)
    try:
        raise OSError(f"http://u:pass@cam refused {SECRET}")
    except OSError:
        logger.exception("it failed")
    say_error(f"token {SECRET}")
    told = capsys.readouterr().err
    assert told.count("***") >= 5
    assert SECRET not in told
    assert "pass" not in told


def test_a_short_secret_does_not_garble_the_log() -> None:
    masking.keep_secret("cam")
    assert masking.mask_secrets("the camera") == "the camera"


@pytest.mark.parametrize("key", ["token", "password", "secret", "api_key", "client_secret"])
def test_what_stands_at_a_secret_key_is_masked(key: str) -> None:
    assert masking.is_secret_key(key)


@pytest.mark.parametrize("key", ["url", "tokens", "secrets_file", "passwords", 3])
def test_other_keys_are_no_secrets(key: object) -> None:
    assert not masking.is_secret_key(key)


def test_the_final_error_of_a_command_is_json_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("streams: []\n")
    assert main(["run", str(path), "--log-format", "json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "streams" in json.loads(line)["message"]

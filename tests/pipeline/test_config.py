"""Config models and their loading: defaults, paths, secrets, and that a written config is read back the same."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from vidan.pipeline.config.load import load_config, load_file
from vidan.pipeline.config.outputs import VideoOutputConfig
from vidan.pipeline.config.rules import LineConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig, json_schema
from vidan.pipeline.config.streams import ImagesSourceConfig, VideoSourceConfig
from vidan.pipeline.errors import ConfigError


def load(folder: Path, text: str) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path).config


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_all_that_a_config_needs(tmp_path: Path) -> None:
    config = load(tmp_path, "streams: [{name: gate, source: gate.mp4}]")
    assert config.detector.weights == "demo"
    assert config.streams[0].rules is None
    assert config.output.video == VideoOutputConfig()
    assert Path(config.output.folder) == tmp_path / "runs" / "run"


def test_a_bare_path_stands_for_a_video(tmp_path: Path) -> None:
    long = load(tmp_path, "streams: [{name: a, source: {type: video, path: [a.mp4]}}]")
    assert load(tmp_path, "streams: [{name: a, source: a.mp4}]") == long
    assert load(tmp_path, "streams: [{name: a, source: {type: video, path: a.mp4}}]") == long


def test_paths_start_at_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = """\
detector: {weights: ../w/own.safetensors}
streams:
  - {name: a, source: {type: video, path: [a.mp4, /abs/b.mp4, ~/c.mp4, "rtsp://cam/live"]}}
  - {name: b, source: {type: images, path: pictures/*.jpg}}
output: {folder: "out/{config}-night"}
"""
    config = load(tmp_path, text)
    first, second = (stream.source for stream in config.streams)
    assert config.detector.weights == f"{tmp_path.parent}/w/own.safetensors"
    assert isinstance(first, VideoSourceConfig)
    assert first.path == (f"{tmp_path}/a.mp4", "/abs/b.mp4", "/home/someone/c.mp4", "rtsp://cam/live")
    assert isinstance(second, ImagesSourceConfig)
    assert second.path == f"{tmp_path}/pictures/*.jpg"
    assert config.output.folder == f"{tmp_path}/out/run-night"


def test_a_way_up_is_folded_away_unless_it_leads_out_of_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "site" / "configs").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "site" / "configs")
    paths = ["../a.mp4", "./b.mp4", ".././../c*.mp4", "in/../d.mp4", "..", ".hidden/e.mp4", "..f.mp4"]
    for folder, expected in [
        ("site/configs", ["site/a.mp4", "site/configs/b.mp4", "c*.mp4", "site/configs/in/../d.mp4", "site",
                          "site/configs/.hidden/e.mp4", "site/configs/..f.mp4"]),
        ("linked", ["linked/../a.mp4", "linked/b.mp4", "linked/.././../c*.mp4", "linked/in/../d.mp4", "linked/..",
                    "linked/.hidden/e.mp4", "linked/..f.mp4"]),
    ]:  # fmt: skip
        config = load(tmp_path / folder, f"streams: [{{name: a, source: {json.dumps(paths)}}}]")
        source = config.streams[0].source
        assert isinstance(source, VideoSourceConfig)
        assert source.path == tuple(f"{tmp_path}/{path}" for path in expected)


def test_names_of_weights_are_no_paths(tmp_path: Path) -> None:
    config = load(tmp_path, "detector: {weights: yolov9-s}\nstreams: [{name: a, source: a.mp4}]")
    assert config.detector.weights == "yolov9-s"


@pytest.mark.parametrize(
    ("written", "size"), [("null", None), ("640", (640, 640)), ("[288, 384]", (288, 384)), ("${SIZE}", (96, 96))]
)
def test_an_image_size_is_one_number_or_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, size: tuple[int, int] | None
) -> None:
    monkeypatch.setenv("SIZE", "96")
    config = load(tmp_path, f"detector:\n  image_size: {written}\nstreams: [{{name: a, source: a.mp4}}]")
    assert config.detector.image_size == size


@pytest.mark.parametrize(("written", "video"), [("false", None), ("null", None), ("true", 26), ("{crf: 20}", 20)])
def test_the_annotated_video_can_be_switched_off(tmp_path: Path, written: str, video: int | None) -> None:
    config = load(tmp_path, f"streams: [{{name: a, source: a.mp4}}]\noutput: {{video: {written}}}")
    assert config.output.video == (None if video is None else VideoOutputConfig(crf=video))


def test_start_times_become_utc(tmp_path: Path) -> None:
    text = "streams: [{name: a, source: {type: video, path: a, start_time: 2026-05-01T08:00:00+02:00}}]"
    source = load(tmp_path, text).streams[0].source
    assert isinstance(source, VideoSourceConfig)
    assert source.start_time == datetime(2026, 5, 1, 6, tzinfo=UTC)


def test_a_rule_may_name_a_class_group(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "class_groups: {vehicle: [car, truck]}\nstreams: [{name: a, source: a.mp4}]\n"
        "rules: {r: {type: line, points: [[0, 0], [1, 1]], classes: [vehicle, person]}}"
    )
    rule = load_config(path, class_names=lambda detector, path: ("person", "car", "truck")).config.rules["r"]
    assert rule.classes == ("vehicle", "person")


def test_class_names_are_asked_for_the_detector_of_the_config(tmp_path: Path) -> None:
    asked = []
    path = tmp_path / "run.yaml"
    path.write_text("detector: {weights: own.safetensors}\nstreams: [{name: a, source: a.mp4}]")
    load_config(path, class_names=lambda detector, path: asked.append((detector.weights, path)) or ())
    assert asked == [(f"{tmp_path}/own.safetensors", path)]


def test_any_model_can_be_loaded_from_a_file(tmp_path: Path) -> None:
    class Recipe(BaseModel, extra="forbid"):
        epochs: int
        layers: list[int] = [1]

    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 3")
    assert load_file(path, Recipe).config == Recipe(epochs=3)
    path.write_text("epoch: 3")
    with pytest.raises(ConfigError, match=r"1: epoch: is no key that is known here \(did you mean 'epochs'\?\)"):
        load_file(path, Recipe)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_the_effective_config_holds_defaults_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA", "tok3n/../x")
    monkeypatch.setenv("STRIDE", "2")
    path = tmp_path / "run.yaml"
    path.write_text(
        "streams:\n"
        "  - {name: a, source: '${CAMERA}'}\n"
        "  - {name: b, source: {type: video, path: ['rtsp://admin:hunter2@cam/live', 'in/${CAMERA}/b.mp4']}}\n"
        "  - name: c\n"
        "    source:\n      type: video\n      path: ${UNSET:-c.mp4}\n      stride: ${STRIDE}\n"
    )
    loaded = load_config(path)
    shown = json.dumps(loaded.effective)
    assert "hunter2" not in shown
    assert "tok3n" not in shown
    first, second, third = (stream["source"] for stream in loaded.effective["streams"])
    assert first["path"] == [f"{tmp_path}/***"]
    assert second["path"] == ["rtsp://admin:***@cam/live", f"{tmp_path}/in/***/b.mp4"]
    assert (third["path"], third["stride"]) == ([f"{tmp_path}/c.mp4"], 2)
    assert loaded.effective["tracker"]["lost_after_seconds"] == 2.5
    source = loaded.config.streams[1].source
    assert isinstance(source, VideoSourceConfig)
    assert source.path == ("rtsp://admin:hunter2@cam/live", f"{tmp_path}/in/tok3n/../x/b.mp4")


@pytest.mark.parametrize("value", ["../tok3n", "./../tok3n/x", "..", ".", "./"])
def test_what_the_environment_gave_is_masked_without_its_way_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FOOTAGE", value)
    path = tmp_path / "run.yaml"
    path.write_text("streams: [{name: a, source: '${FOOTAGE}'}]")
    assert "tok3n" not in json.dumps(load_config(path).effective)


def test_the_hash_is_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfstreams: [{name: a, source: a.mp4}]\r\n")
    loaded = load_config(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.path == path


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_fractions_become_pixels_and_pixels_stay() -> None:
    line = LineConfig(type="line", points=((0.25, 0.5), (1, 1)))
    assert line.in_pixels(768, 576).points == ((192, 288), (768, 576))
    pixels = LineConfig(type="line", points=((0, 0), (640, 0.0)))
    assert pixels.in_pixels(768, 576) is pixels


def test_a_zone_of_one_part_and_of_several_look_alike_in_pixels() -> None:
    ring, hole = ((0, 0), (1, 0), (1, 1)), ((0.5, 0.25), (0.75, 0.25), (0.75, 0.5))
    one = ZoneConfig(type="zone", polygon=ring, holes=(hole,))
    several = ZoneConfig(type="zone", polygons=(ring,), holes=(hole,))
    assert one.parts == several.parts == (ring,)
    for zone in (one.in_pixels(100, 200), several.in_pixels(100, 200)):
        assert zone.parts == (((0, 0), (100, 0), (100, 200)),)
        assert zone.holes == (((50, 50), (75, 50), (75, 100)),)


def test_an_outline_may_be_closed_by_hand() -> None:
    ring = ((0, 0), (1, 0), (1, 1))
    assert ZoneConfig(type="zone", polygon=(*ring, ring[0])) == ZoneConfig(type="zone", polygon=ring)


def test_a_closed_line_has_two_sides() -> None:
    ring = ((0, 0), (9, 0), (9, 9), (0, 0))
    assert LineConfig(type="line", points=ring).points == ring


def test_models_do_not_change() -> None:
    line = LineConfig(type="line", points=((0, 0), (1, 1)))
    with pytest.raises(ValidationError, match="frozen"):
        line.settle = 2.0  # pyright: ignore[reportAttributeAccessIssue]


# --- there and back ---------------------------------------------------------------------------------------------------

labels = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
class_lists = st.none() | st.lists(labels, min_size=1, max_size=3, unique=True)
shares = st.floats(0, 1)
seconds = st.floats(0.001, 1e6)
sizes = st.integers(1, 64).map(lambda n: 32 * n)


@st.composite
def lines(draw: st.DrawFn) -> dict[str, Any]:
    across = sorted(draw(st.lists(st.integers(2, 4000), min_size=2, max_size=6, unique=True)))
    names = draw(st.lists(labels, min_size=2, max_size=2, unique=True))
    heights = st.integers(-100, -3) | st.integers(0, 4000)  # half a pixel beside 0 would look like a fraction
    return {
        "type": "line",
        "points": [[x, draw(heights) + draw(st.sampled_from([0, 1.5]))] for x in across],
        "classes": draw(class_lists),
        "hysteresis": draw(st.floats(0, 10)),
        "policy": draw(st.sampled_from(["every", "once", "net"])),
        "bridge": draw(st.none() | st.fixed_dictionaries({"seconds": seconds})),
        "directions": dict(zip(("in", "out"), names, strict=True)),
    }


@st.composite
def zones(draw: st.DrawFn) -> dict[str, Any]:
    corners = draw(st.integers(3, 12))
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    outer, inner = (
        [[0.5 + r * math.cos(t), 0.5 + r * math.sin(t)] for t in turns] for r in (0.5, draw(st.floats(0.1, 0.2)))
    )
    return {
        "type": "zone",
        **draw(st.sampled_from([{"polygon": outer}, {"polygons": [outer]}])),
        "holes": draw(st.sampled_from([[], [inner]])),
        "overlap": draw(st.none() | st.floats(0.01, 1)),
        "loiter": draw(st.none() | st.fixed_dictionaries({"after": seconds})),
        "capacity": draw(st.none() | st.fixed_dictionaries({"max": st.integers(0, 1000)})),
    }


sources = labels.map(lambda name: f"/in/{name}") | st.fixed_dictionaries(
    {
        "type": st.just("images"),
        "path": labels.map(lambda name: f"/in/{name}"),
        "fps": st.floats(0.1, 240),
        "start_time": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        "max_fps": st.none() | st.floats(0.1, 240),
    }
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    rules = draw(st.dictionaries(labels, lines() | zones(), max_size=3))
    names = draw(st.lists(st.from_regex(r"[a-z0-9_-]{1,9}", fullmatch=True), min_size=1, max_size=3, unique=True))
    watching = st.none() | st.lists(st.sampled_from(sorted(rules)), unique=True) if rules else st.none()
    return {
        "detector": {
            "confidence": draw(shares),
            "classes": None,
            "image_size": draw(st.none() | sizes | st.lists(sizes, min_size=2, max_size=2)),
        },
        "class_groups": draw(st.dictionaries(labels, st.just(["car"]), max_size=1)),
        "streams": [{"name": name, "source": draw(sources), "rules": draw(watching)} for name in names],
        "rules": rules,
        "output": {
            "folder": "/out",
            "video": draw(st.sampled_from([None, {"crf": 30}])),
            "report": draw(st.booleans()),
        },
    }


class _Quoting(yaml.SafeDumper):
    """Writes all text in quotes, for PyYAML takes 1e3 for text and would leave it bare."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@settings(max_examples=30, deadline=None)
@given(values=configs())
def test_a_written_config_is_read_back_the_same(folder: Path, values: dict[str, Any]) -> None:
    config = RunConfig.model_validate(values)
    text = yaml.dump(config.model_dump(mode="json", by_alias=True), Dumper=_Quoting, allow_unicode=True)
    assert load(folder, text.replace("${", "$${")) == config


# --- the schema -------------------------------------------------------------------------------------------------------


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    schema = json_schema()
    for name, model in {"RunConfig": schema, **schema["$defs"]}.items():
        assert model["additionalProperties"] is False, name
        assert model["description"], name
        for key, node in model["properties"].items():
            assert node["description"].endswith("."), f"{name}.{key}"


def test_the_config_is_read_without_torch_and_openvino() -> None:
    check = "import sys, vidan.pipeline.config.load; sys.exit(bool({'torch', 'openvino', 'av'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], check=True)


# --- destinations -----------------------------------------------------------------------------------------------------

DESTINATIONS = """\
streams: [{name: a, source: a.mp4}]
output:
  mqtt: {url: "mqtt://me:pa55word@broker"}
  webhooks:
    - {url: "https://hook.test/T0/pathsecret", secret: "signingsecret-1 of mine", headers: {X-Key: headersecret}}
  redis: {url: "redis://:redissecret@host"}
  kafka: {brokers: ["host:9092"], options: {sasl.password: kafkasecret, security.protocol: SASL_SSL}}
"""
SECRETS = ("pa55word", "pathsecret", "signingsecret", "headersecret", "redissecret", "kafkasecret")


def test_secrets_of_destinations_are_used_and_nowhere_written(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(DESTINATIONS)
    loaded = load_config(path)
    output = loaded.config.output
    assert output.mqtt is not None
    assert "pa55word" in output.mqtt.url
    (webhook,) = output.webhooks
    assert webhook.url.endswith("/T0/pathsecret")
    assert webhook.signing_key == b"signingsecret-1 of mine"
    assert webhook.headers["X-Key"].get_secret_value() == "headersecret"
    written = json.dumps(loaded.effective)
    assert [secret for secret in SECRETS if secret in written] == []
    assert loaded.effective["output"]["webhooks"][0]["url"] == "https://hook.test/***"
    assert loaded.effective["output"]["kafka"]["options"]["security.protocol"] == "SASL_SSL"


def test_messages_about_destinations_show_no_secret(tmp_path: Path) -> None:
    wrong = DESTINATIONS
    for right, typo in (
        ("mqtt://", "mqqt://"), ("headersecret", '"headersecret ü"'), ('@host"', '@host:99999"'), ("host:9092", ""),
    ):  # fmt: skip
        wrong = wrong.replace(right, typo)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, wrong)
    told = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "output.mqtt.url", "output.webhooks[0].headers.X-Key", "output.redis.url", "output.kafka.brokers[0]",
    ]  # fmt: skip
    assert [secret for secret in SECRETS if secret in str(caught.value)] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("webhooks: [{url: 'https://h/x', secret: short}]", "is too short to sign with: take 16 characters or more"),
        ("webhooks: [{url: 'https://h/x', secret: 'whsec_?'}]", "should have base64 behind whsec_"),
        ("webhooks: [{url: 'ftp://h/x'}]", "should be https://HOST/PATH"),
        ("webhooks: [{url: 'https://h/x'}, {url: 'https://h/y'}]", "is the name of another destination already"),
        ("webhooks: [{url: 'https://h/x', name: mqtt}]", "is the name of another destination already"),
        ("webhooks: [{url: 'https://h/x', events: [line_crosed]}]", "did you mean 'line_crossed'?"),
        ("webhooks: [{url: 'https://h/x', rules: [gate]}]", "there is no rule 'gate'"),
        ("mqtt: {url: 'mqtt://h', topic: 'a/#'}", "should be the beginning of topics"),
        ("mqtt: {url: 'mqtt://h', ca_file: x.pem}", "is for TLS: begin the url with mqtts://"),
        ("mqtt: {url: 'mqtts://h', key: x.pem}", "belongs to a certificate, which is missing"),
        ("mqtt: {url: 'mqtt://h:70000'}", "should be mqtt://USER:PASSWORD@HOST:PORT"),
        ("redis: {url: 'redis://h', key: 'a{b}'}", "only {source} can be filled in"),
        ("kafka: {brokers: ['h:1'], topic: 'a b'}", "should be a name of letters, digits"),
        ("kafka: {brokers: ['h:1'], keep: 0}", "should be at least 1"),
    ],
)
def test_what_is_wrong_with_a_destination_is_told(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"streams: [{{name: a, source: a.mp4}}]\noutput: {{{text}}}")
    assert problem in str(caught.value)

"""MQTT against a real broker: acknowledged, in order, with totals, presence and Home Assistant."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from vidan.pipeline.events import EventKind
from vidan.pipeline.sinks.mqtt import topic_level

pytestmark = pytest.mark.needs_brokers


def mqtt(port: int, **settings: Any) -> dict[str, Any]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "timeout": 1.0, **settings}}


def test_events_totals_and_presence_arrive(
    mosquitto: Any, logging_run: Any, listen: Any, event: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    broker.start()
    early = listen(broker.port)
    run = logging_run(**mqtt(broker.port, topic="site/north"))
    run.write(*range(1, 61))
    run.log(
        event(61, kind=EventKind.ZONE_ENTERED, rule="hall"), event(62, kind=EventKind.ZONE_APPEARED, rule="hall"),
        event(63, kind=EventKind.ZONE_LEFT, rule="hall"),
    )  # fmt: skip
    wait_until(lambda: len(early.tracks()) == 63 and run.health.delivered == 63)
    late = listen(broker.port, "site/north/totals/#")
    wait_until(lambda: len(late.messages) == 2)
    assert {topic: json.loads(payload) for topic, payload, is_retained in late.messages if is_retained} == {
        "site/north/totals/door/gate": {"in": 40, "out": 20},
        "site/north/totals/door/hall": {"entered": 1, "left": 1, "appeared": 1, "vanished": 0, "inside": 1},
    }
    told = run.end()
    assert (told["delivered"], told["error"]) == (63, None)
    wait_until(lambda: len(early.on("site/north/status")) == 2)
    assert early.on("site/north/status") == ["online", "offline"]
    lines = run.folder.events.read_text().splitlines()
    sent = [json.loads(payload) for topic, payload, _ in early.messages if topic.startswith("site/north/events/door/")]
    assert sent == [
        json.loads(line) | {"run": run.manifest.run, "number": number} for number, line in enumerate(lines, 1)
    ]


def test_a_process_that_dies_is_offline_by_its_last_will(
    mosquitto: Any, writer: Any, listen: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    broker.start()
    subscriber = listen(broker.port, "vidan/status")
    process = writer(mqtt(broker.port), 100_000)
    wait_until(lambda: subscriber.on("vidan/status") == ["online"])
    process.kill()
    process.communicate()
    wait_until(lambda: subscriber.on("vidan/status") == ["online", "offline"])


def test_a_broker_that_is_stopped_and_restarted_gets_everything_in_order(
    mosquitto: Any, logging_run: Any, listen: Any, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker = mosquitto()
    run = logging_run(**mqtt(broker.port))
    run.write(1, 2)  # it is down at the start
    wait_until(lambda: run.health.error)
    assert run.health.error == f"cannot deliver to the MQTT broker mqtt://127.0.0.1:{broker.port}: Connection refused"
    broker.start()
    subscriber = listen(broker.port)
    wait_until(lambda: run.health.error is None)
    for number in range(3, 403):
        run.write(number)
        if number == 200:  # in the middle
            broker.stop()
        if number == 300:
            wait_until(lambda: run.health.error)
            broker.start()
        time.sleep(0.002)
    wait_until(lambda: run.health.delivered == 402)
    wait_until(lambda: subscriber.tracks() and subscriber.tracks()[-1] == 402)
    told = run.end()
    assert told["error"] is None
    tracks = list(dict.fromkeys(subscriber.tracks()))
    assert tracks == sorted(tracks)
    assert set(range(3, 403)) <= set(tracks), "1 and 2 may have come before anybody listened"
    totals = [json.loads(payload) for payload in subscriber.on("vidan/totals/door/gate")]
    assert totals[-1] == {"in": 268, "out": 134}, "repeated events count once"
    assert sum("is back" in record.message for record in caplog.records) == 2


def test_a_broker_that_is_down_for_the_whole_run_is_told_and_served_later(
    mosquitto: Any, logging_run: Any, listen: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    run = logging_run(**mqtt(broker.port))
    run.write(1, 2, 3)
    began = time.monotonic()
    told = run.end()
    assert time.monotonic() - began < 5
    assert (told["delivered"], told["pending"]) == (0, 3)
    broker.start()
    subscriber = listen(broker.port)
    again = logging_run(**mqtt(broker.port))
    assert again.end()["delivered"] == 3
    wait_until(lambda: subscriber.tracks() == [1, 2, 3])


def test_a_resumed_run_goes_on_with_its_totals(mosquitto: Any, logging_run: Any, listen: Any, wait_until: Any) -> None:
    broker = mosquitto()
    broker.start()
    subscriber = listen(broker.port, "vidan/#")
    run = logging_run(**mqtt(broker.port))
    run.write(1, 2, 3)
    run.end()
    again = logging_run(**mqtt(broker.port))
    again.write(4)
    again.end()
    wait_until(lambda: subscriber.tracks() == [1, 2, 3, 4])
    totals = [json.loads(payload) for payload in subscriber.on("vidan/totals/door/gate")]
    assert totals == [{"in": 0, "out": 0}, {"in": 2, "out": 1}, {"in": 2, "out": 1}, {"in": 3, "out": 1}]


def test_home_assistant_is_told_of_sensors_that_read_the_totals(
    mosquitto: Any, logging_run: Any, listen: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    broker.start()
    subscriber = listen(broker.port, "homeassistant/#")
    run = logging_run(**mqtt(broker.port, home_assistant=True))
    wait_until(lambda: len(subscriber.messages) == 4)
    run.end()
    sensors = {(sensor := json.loads(payload))["name"]: sensor for _, payload, _ in subscriber.messages}
    assert set(sensors) == {"gate in", "gate out", "hall inside", "hall entered"}
    assert len({sensor["unique_id"] for sensor in sensors.values()}) == 4
    assert sensors["gate in"]["state_topic"] == "vidan/totals/door/gate"
    assert sensors["gate in"]["value_template"] == '{{ value_json["in"] }}'
    assert sensors["gate in"]["state_class"] == "total_increasing"
    assert sensors["hall inside"]["state_class"] == "measurement"
    assert {sensor["availability_topic"] for sensor in sensors.values()} == {"vidan/status"}
    for topic, _, _ in subscriber.messages:
        prefix, component, node, name, config = topic.split("/")
        assert (prefix, component, config) == ("homeassistant", "sensor", "config")
        assert all(letter.isalnum() or letter in "_-" for letter in node + name)


def test_tls_verifies_the_broker_and_shows_a_certificate(
    mosquitto: Any, logging_run: Any, wait_until: Any, tmp_path: Path
) -> None:
    authority, client = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_pem.write_to_path(tmp_path / "clients.pem")
    served, shown = authority.issue_cert("127.0.0.1"), client.issue_cert("vidan")
    served.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    shown.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    broker = mosquitto(
        "allow_anonymous true", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.pem",
        f"cafile {tmp_path}/clients.pem", "require_certificate true",
    )  # fmt: skip
    broker.start()
    url = f"mqtts://127.0.0.1:{broker.port}"
    stranger = logging_run("stranger", mqtt={"url": url, "timeout": 2})
    wait_until(lambda: stranger.health.error)
    assert "certificate is not trusted: unable to get local issuer" in stranger.health.error
    stranger.end()
    settings = {"url": url, "timeout": 2, "ca_file": f"{tmp_path}/ca.pem", "certificate": f"{tmp_path}/client.pem"}
    trusted = logging_run("trusted", mqtt=settings)
    trusted.write(1)
    told = trusted.end()
    assert (told["delivered"], told["error"]) == (1, None)
    del settings["certificate"]
    nobody = logging_run("nobody", mqtt=settings)
    wait_until(lambda: nobody.health.error)
    assert nobody.end()["delivered"] == 0


def test_a_wrong_password_and_a_topic_that_is_not_allowed_are_told_apart(
    mosquitto: Any, logging_run: Any, wait_until: Any, tmp_path: Path
) -> None:
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(tmp_path / "passwords"), "vidan", "pa55word"], check=True)
    (tmp_path / "rights").write_text("user vidan\ntopic readwrite mine/#\n")
    broker = mosquitto("allow_anonymous false", f"password_file {tmp_path}/passwords", f"acl_file {tmp_path}/rights")
    broker.start()
    address = f"127.0.0.1:{broker.port}"
    wrong = logging_run("wrong", mqtt={"url": f"mqtt://vidan:s3cret@{address}", "timeout": 2})
    wait_until(lambda: wrong.health.error)
    title = f"the MQTT broker mqtt://vidan:***@{address}"
    assert wrong.health.error == f"cannot deliver to {title}: it refuses the connection: not authorized"
    wrong.end()
    url = f"mqtt://vidan:pa55word@{address}"
    elsewhere = logging_run("elsewhere", mqtt={"url": url, "topic": "theirs", "timeout": 2})
    wait_until(lambda: "not accept" in (elsewhere.health.error or ""))
    assert elsewhere.health.error == f"cannot deliver to {title}: it does not accept a message: not authorized"
    elsewhere.end()
    right = logging_run("right", mqtt={"url": url, "topic": "mine", "timeout": 2})
    right.write(1)
    assert right.end()["error"] is None


def test_a_broker_that_accepts_and_says_nothing_is_given_up(endpoint: Any, logging_run: Any, wait_until: Any) -> None:
    endpoint.start()  # waits for the end of an HTTP request that never comes
    run = logging_run(mqtt={"url": f"mqtt://127.0.0.1:{endpoint.port}", "timeout": 0.3})
    wait_until(lambda: run.health.error)
    assert "no answer within 0.3 s" in run.health.error or "refuses" in run.health.error
    run.end()


def test_a_process_killed_at_random_moments_and_a_broker_restarted_lose_nothing(
    mosquitto: Any, writer: Any, listen: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    broker.start()
    subscriber = listen(broker.port)
    kills = 0
    for life in range(3):
        process = writer(mqtt(broker.port), 900)
        before = len(subscriber.messages)
        wait_until(lambda p=process, b=before: len(subscriber.messages) > b + 30 or p.poll() is not None)
        if life == 1:
            broker.stop()
            time.sleep(0.3)
            broker.start()
        kills += process.poll() is None
        process.kill()
        process.communicate()
    writer(mqtt(broker.port), 900).communicate(timeout=60)
    wait_until(lambda: subscriber.tracks()[-1] == 900)
    by_source = [list(dict.fromkeys(t for t in subscriber.tracks() if t % 2 == rest)) for rest in (0, 1)]
    assert by_source == [list(range(2, 901, 2)), list(range(1, 901, 2))]
    assert kills >= 2


def test_names_of_rules_stay_one_level_of_a_topic() -> None:
    assert topic_level("gate/north #1 + 50%$") == "gate%2Fnorth %231 %2B 50%25%24"
    assert topic_level("Eingang Süd") == "Eingang Süd"

"""Webhooks: signed, in order, tried until they are taken."""

from __future__ import annotations

import base64
import json
import random
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from vidan.pipeline.config.destinations import EventName
from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import EventKind
from vidan.pipeline.sinks.destination import LoggedEvent
from vidan.pipeline.sinks.webhook import WebhookDestination

ROOT = Path(__file__).parents[3]
SECRET = "correct horse battery staple"


def webhook(endpoint: Any, **settings: Any) -> dict[str, Any]:
    return {"webhooks": [{"url": endpoint.url, "timeout": 0.5, **settings}]}


def test_every_event_arrives_in_order_with_its_run_and_number(endpoint: Any, logging_run: Any) -> None:
    endpoint.start()
    run = logging_run(**webhook(endpoint, batch=7))
    for number in range(1, 40, 2):
        run.write(number, number + 1)
    assert (run.end()["delivered"], endpoint.tracks()) == (40, list(range(1, 41)))
    events = [event for _, body in endpoint.requests for event in json.loads(body)["events"]]
    assert max(len(json.loads(body)["events"]) for _, body in endpoint.requests) <= 7
    for number, (sent, line) in enumerate(zip(events, run.folder.events.read_text().splitlines(), strict=True), 1):
        assert sent == json.loads(line) | {"run": run.manifest.run, "number": number}


@pytest.mark.parametrize("secret", [SECRET, "whsec_" + base64.b64encode(bytes(range(24))).decode()])
def test_the_signature_satisfies_the_library_of_the_standard(endpoint: Any, logging_run: Any, secret: str) -> None:
    endpoint.start()
    run = logging_run(**webhook(endpoint, secret=secret))
    run.write(1)
    run.end()
    ((headers, body),) = endpoint.requests
    judge = Webhook(secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode())
    assert judge.verify(body.decode(), headers)["events"][0]["track"] == 1
    with pytest.raises(WebhookVerificationError):
        judge.verify(body.decode().replace('"track":1', '"track":2'), headers)
    assert headers["webhook-id"] == f"{run.manifest.run}-1-1"


def test_the_example_in_the_docs_accepts_what_is_ours_and_nothing_else(endpoint: Any, logging_run: Any) -> None:
    page = (ROOT / "docs" / "outputs.md").read_text()
    (code,) = re.findall(r"```python\n(.*?def verified.*?)```", page, re.DOTALL)
    example: dict[str, Any] = {}
    exec(code, example)
    endpoint.start()
    run = logging_run(**webhook(endpoint, secret=SECRET))
    run.write(1)
    run.end()
    ((headers, body),) = endpoint.requests
    verified: Callable[..., bool] = example["verified"]
    assert verified(headers, body, SECRET)
    assert not verified(headers, body.replace(b"door", b"hall"), SECRET)
    assert not verified(headers, body, SECRET + "!")
    assert not verified(headers | {"webhook-id": "other"}, body, SECRET)
    assert not verified(headers | {"webhook-timestamp": str(int(time.time()) - 600)}, body, SECRET), "a replay"
    assert not verified({name: value for name, value in headers.items() if "signature" not in name}, body, SECRET)


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (500, {}, "it answers 500 Internal Server Error"),
        (404, {}, "it answers 404 Not Found"),
        (302, {"Location": "http://127.0.0.1:1/"}, "it answers 302 Found; give the address that it redirects to"),
    ],
)
def test_what_is_not_accepted_is_sent_again(
    endpoint: Any, logging_run: Any, wait_until: Any, status: int, headers: dict[str, str], told: str
) -> None:
    endpoint.start()
    endpoint.answer = (status, headers)
    run = logging_run(**webhook(endpoint))
    run.write(1)
    wait_until(lambda: len(endpoint.requests) >= 2)
    assert run.health.error == f"cannot deliver to the webhook http://127.0.0.1:{endpoint.port}: {told}"
    assert {headers["webhook-id"] for headers, _ in endpoint.requests} == {f"{run.manifest.run}-1-1"}
    endpoint.answer = (200, {})
    run.write(2)
    assert run.end()["error"] is None
    assert list(dict.fromkeys(endpoint.tracks())) == [1, 2]


def test_an_endpoint_that_hangs_holds_up_neither_the_run_nor_its_end(
    endpoint: Any, logging_run: Any, wait_until: Any
) -> None:
    endpoint.start()
    endpoint.hangs.set()
    run = logging_run(**webhook(endpoint))
    began = time.monotonic()
    for number in range(100):
        run.write(number)
    assert time.monotonic() - began < 0.5
    wait_until(lambda: run.health.error)
    assert "no answer within 0.5 s" in run.health.error
    began = time.monotonic()
    assert run.end()["pending"] == 100
    assert time.monotonic() - began < 3


def test_an_endpoint_that_comes_late_gets_everything(
    endpoint: Any, logging_run: Any, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = logging_run(**webhook(endpoint))
    run.write(1, 2)
    wait_until(lambda: run.health.error)
    assert "Connection refused" in run.health.error
    assert run.sinks[0].snapshot().state == "retrying"
    endpoint.start()
    run.write(3)
    wait_until(lambda: run.health.error is None)
    assert run.end()["failures"] >= 1
    assert endpoint.tracks() == [1, 2, 3]
    title = f"the webhook http://127.0.0.1:{endpoint.port}"
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        f"cannot deliver to {title}: Connection refused",
        f"{title} is back, and has all events",
    ]


def test_an_endpoint_that_never_comes_is_told_and_can_be_served_later(endpoint: Any, logging_run: Any) -> None:
    run = logging_run(**webhook(endpoint))
    run.write(1, 2)
    told = run.end()
    assert (told["delivered"], told["pending"]) == (0, 2)
    endpoint.start()
    again = logging_run(**webhook(endpoint))
    assert again.end()["delivered"] == 2
    assert endpoint.tracks() == [1, 2]


def test_only_the_events_that_are_asked_for_are_sent(endpoint: Any, logging_run: Any, event: Any) -> None:
    endpoint.start()
    run = logging_run(**webhook(endpoint, events=["loitering"], rules=["hall"]))
    run.log(
        event(1), event(2, kind=EventKind.LOITERING, rule="hall"), event(3, kind=EventKind.LOITERING, rule="yard"),
        event(4, kind=EventKind.ZONE_LEFT, rule="hall"), event(5, kind=EventKind.LOITERING, rule="hall"),
    )  # fmt: skip
    told = run.end()
    assert (told["delivered"], told["pending"], endpoint.tracks()) == (2, 0, [2, 5])


def test_every_kind_of_event_that_is_counted_can_be_asked_for() -> None:
    assert set(EventName.__args__) == set(EventKind) - {EventKind.NEAR_MISS}


def test_certificates_are_verified(endpoint: Any, logging_run: Any, wait_until: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    endpoint.start()
    endpoint.server.socket = context.wrap_socket(endpoint.server.socket, server_side=True)
    url = endpoint.url.replace("http:", "https:")
    stranger = logging_run("stranger", webhooks=[{"url": url, "timeout": 2}])
    stranger.write(1)
    wait_until(lambda: stranger.health.error)
    assert "no TLS connection" in stranger.health.error
    assert "certificate" in stranger.health.error
    stranger.end()
    assert endpoint.requests == []
    trusting = logging_run("trusting", webhooks=[{"url": url, "timeout": 2, "ca_file": str(tmp_path / "ca.pem")}])
    trusting.write(1)
    assert trusting.end()["error"] is None
    assert endpoint.tracks() == [1]


def test_no_message_shows_a_secret(endpoint: Any, logging_run: Any, wait_until: Any) -> None:
    url = endpoint.url.replace("://", "://me:pa55word@").replace("/events", "/T0/pathsecret?token=tok3n")
    run = logging_run(webhooks=[{"url": url, "timeout": 0.5, "headers": {"Authorization": "Bearer s3cret"}}])
    run.write(1)
    wait_until(lambda: run.health.error)
    run.end()
    told = run.health.error + run.folder.manifest.read_text()
    for secret in ("pa55word", "pathsecret", "tok3n", "s3cret"):
        assert secret not in told


def test_headers_and_basic_authentication_are_sent(endpoint: Any, logging_run: Any) -> None:
    endpoint.start()
    url = endpoint.url.replace("://", "://me:p%40ss@")
    run = logging_run(webhooks=[{"url": url, "headers": {"X-Site": "north"}}])
    run.write(1)
    run.end()
    ((headers, _),) = endpoint.requests
    assert headers["x-site"] == "north"
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"me:p@ss"


def test_a_process_killed_at_random_moments_sends_everything_in_order(endpoint: Any, writer: Any) -> None:
    endpoint.start()
    draw = random.Random(6)
    kills = 0
    for _ in range(4):
        process = writer(webhook(endpoint, batch=10), 900)
        before = len(endpoint.requests)
        deadline = time.monotonic() + 20
        while len(endpoint.requests) == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.2))
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert writer(webhook(endpoint, batch=10), 900).communicate(timeout=60)[1] == ""
    tracks = endpoint.tracks()
    assert kills >= 3
    assert list(dict.fromkeys(tracks)) == list(range(1, 901))


def test_a_webhook_destination_says_what_went_wrong_without_a_server() -> None:
    destination = WebhookDestination(
        "http://no-such-host.invalid/x",
        name="alarms",
        run="r",
        key=None,
        headers={},
        timeout=2,
        batch_events=1,
        tls=ssl.create_default_context(),
    )
    with pytest.raises(SinkError, match=r"alarms at http://no-such-host\.invalid: there is no host of that name"):
        destination.deliver([LoggedEvent(1, {"id": "1", "source": "a", "rule": "b"})])

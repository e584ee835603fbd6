"""MqttDestination: events to an MQTT 5 broker, each acknowledged (QoS 1), with totals, presence and Home Assistant."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from vidan.pipeline.masking import mask_url_password
from vidan.pipeline.sinks.destination import Destination, LoggedEvent, message, to_json
from vidan.pipeline.sinks.totals import Totals, discovery

KEEPALIVE_SECONDS = 20  # after about 1.5 times of it the broker says that vidan is offline
GOODBYE_SECONDS = 2.0

_PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttDestination(Destination):
    """Publishes events, in order, over one connection at a time; after an error it makes a new one.

    Topics: ``TOPIC/events/STREAM/RULE`` has each event; ``TOPIC/totals/STREAM/RULE`` and ``TOPIC/status`` are retained.

    Args:
        url: ``mqtt[s]://USER:PASSWORD@HOST:PORT``.
        run: Id of the run.
        topic: What all topics begin with.
        timeout: Seconds to wait for a connection or an acknowledgement.
        tls: Of mqtts.
        totals: Of the run; None for events that are delivered after it: then there are no totals and no presence.
        discovery_prefix: Of Home Assistant; None: it is not told.
    """

    def __init__(
        self,
        url: str,
        *,
        run: str,
        topic: str,
        timeout: float,
        tls: ssl.SSLContext | None = None,
        totals: Totals | None = None,
        discovery_prefix: str | None = None,
    ) -> None:
        self.name = "mqtt"
        self.to = mask_url_password(url)
        self.title = f"the MQTT broker {self.to}"
        self.wants_history = totals is not None
        self._address = urlsplit(url)
        self._run = run
        self._topic = topic
        self._timeout = timeout
        self._tls = tls
        self._totals = totals
        self._discovery_prefix = discovery_prefix
        self._link: _Link | None = None

    def check(self) -> None:
        """Connects if there is no connection, and says who is there.

        Raises:
            SinkError: If that fails.
        """
        if self._link is None or self._link.lost.is_set():
            self._connect()

    def recall(self, events: Iterable[LoggedEvent]) -> None:
        if self._totals is not None:
            self._totals.add(events)

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        self.check()
        self._publish([(self._events_topic(record), to_json(message(event, self._run)), False)
                       for event in events for record in [event.record]])  # fmt: skip
        if self._totals is not None:
            self._totals.add(events)
            self._publish(self._total_messages((record["source"], record["rule"]) for _, record in events))

    def close(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if self._totals is not None:
            link.wait_for(link.client.publish(self._status_topic, "offline", qos=1, retain=True), GOODBYE_SECONDS)
        link.client.disconnect()
        link.client.loop_stop()

    def _connect(self) -> None:
        self._drop()
        suffix = "" if self._totals is not None else "-late"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"vidan-{self._run[:12]}{suffix}",
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,  # a new connection begins with what was not acknowledged: the outbox knows
        )
        client.connect_timeout = self._timeout
        address = self._address
        if address.username:
            client.username_pw_set(unquote(address.username), unquote(address.password or "") or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._totals is not None:
            client.will_set(self._status_topic, "offline", qos=1, retain=True)
        link = _Link(client)
        try:
            client.connect(
                address.hostname or "", address.port or _PORTS[address.scheme], KEEPALIVE_SECONDS, clean_start=True
            )
        except (OSError, ValueError) as error:  # ValueError: a host name that is none
            raise self.cannot_deliver(_reason(error)) from error
        client.loop_start()
        self._link = link
        if not link.answered.wait(self._timeout):
            self._drop()
            raise self.cannot_deliver(f"no answer within {self._timeout:g} s")
        if link.refusal is not None:
            self._drop()
            raise self.cannot_deliver(f"it refuses the connection: {link.refusal}")
        if self._totals is not None:
            self._publish([*self._discovery_messages(), *self._total_messages(), (self._status_topic, b"online", True)])

    def _publish(self, messages: Iterable[tuple[str, bytes, bool]]) -> None:
        """Publishes topic, payload and whether it is retained, and waits for the broker's word on each."""
        link = self._link
        assert link is not None, "check() has connected"
        infos = [link.client.publish(topic, payload, qos=1, retain=retain) for topic, payload, retain in messages]
        for info in infos:
            if (problem := link.wait_for(info, self._timeout)) is not None:
                self._drop()
                raise self.cannot_deliver(problem)

    def _drop(self) -> None:
        """Gives the connection up; the broker tells others that vidan is offline."""
        if self._link is not None:
            self._link.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
            self._link.client.loop_stop()
            self._link = None

    @property
    def _status_topic(self) -> str:
        return f"{self._topic}/status"

    def _events_topic(self, record: Any) -> str:
        return f"{self._topic}/events/{record['source']}/{topic_level(record['rule'])}"

    def _totals_topic(self, stream: str, rule: str) -> str:
        return f"{self._topic}/totals/{stream}/{topic_level(rule)}"

    def _total_messages(self, places: Iterable[tuple[str, str]] | None = None) -> list[tuple[str, bytes, bool]]:
        if self._totals is None:
            return []
        return [
            (self._totals_topic(stream, rule), to_json(record), True)
            for stream, rule, record in self._totals.records(places)
        ]

    def _discovery_messages(self) -> list[tuple[str, bytes, bool]]:
        if self._discovery_prefix is None or self._totals is None:
            return []
        rules = self._totals.rules
        topics = {(rule.stream, rule.name): self._totals_topic(rule.stream, rule.name) for rule in rules}
        sensors = discovery(rules, node=self._topic, status_topic=self._status_topic, totals_topic=topics)
        return [(f"{self._discovery_prefix}/{end}", to_json(sensor), True) for end, sensor in sensors]


class _Link:
    """One connection, as its callbacks see it."""

    def __init__(self, client: paho.Client) -> None:
        self.client = client
        self.answered = threading.Event()
        self.lost = threading.Event()
        self.refusal: str | None = None
        self.refused: dict[int, str] = {}  # message id -> why
        self.farewell = ""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish

    def wait_for(self, info: paho.MQTTMessageInfo, timeout: float) -> str | None:
        """Waits for the broker's word on a message; what is wrong with it, None if it is accepted."""
        give_up_at = time.monotonic() + timeout
        while info.rc == paho.MQTT_ERR_SUCCESS and not info.is_published():
            if self.lost.is_set():
                break
            if time.monotonic() > give_up_at:
                return f"no acknowledgement within {timeout:g} s"
            info.wait_for_publish(0.1)
        else:
            if info.rc == paho.MQTT_ERR_SUCCESS:
                refusal = self.refused.get(info.mid)
                return None if refusal is None else f"it does not accept a message: {refusal}"
        return f"the connection is lost{self.farewell}"

    def _on_connect(self, client: object, userdata: object, flags: object, code: ReasonCode, _: object) -> None:
        self.refusal = str(code).lower() if code.is_failure else None
        self.answered.set()

    def _on_disconnect(self, client: object, userdata: object, flags: Any, code: ReasonCode, _: object) -> None:
        if flags.is_disconnect_packet_from_server:
            self.farewell = f", the broker says: {str(code).lower()}"
        self.lost.set()
        self.answered.set()

    def _on_publish(self, client: object, userdata: object, mid: int, code: ReasonCode, _: object) -> None:
        if code.is_failure:
            self.refused[mid] = str(code).lower()


def topic_level(name: str) -> str:
    """A name as one level of a topic: what MQTT has other uses for is written as in URLs."""
    return "".join(f"%{ord(letter):02X}" if letter in "/+#%$\0" else letter for letter in name)


def _reason(error: Exception) -> str:
    """What is wrong, in words."""
    match error:
        case socket.gaierror():
            return "there is no host of that name, or no network"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS connection: {error.reason or error}"
        case TimeoutError():
            return "no connection in time"
        case OSError() if error.strerror:
            return error.strerror
    return str(error)

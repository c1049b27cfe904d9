"""The script that one would write: paho's callback decodes, infers and publishes, every setting at its default.

    python naive.py PORT TOPIC_IN TOPIC_OUT MODEL.onnx QOS WINDOW [nodelay]

It stands for what the daemon is compared with; nothing of edgeopt is in it. `nodelay` switches Nagle's algorithm off.
"""

import json
import socket
import sys
from collections import deque
from typing import Any

import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

port, topic_in, topic_out, model, qos, size = sys.argv[1:7]
session = onnxruntime.InferenceSession(model)
name = session.get_inputs()[0].name
window: deque[list[float]] = deque(maxlen=int(size))


def on_connect(client: mqtt.Client, *_rest: Any) -> None:
    """Subscribe; again after every reconnect."""
    client.subscribe(topic_in, qos=int(qos))


def on_message(client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
    """Answer one reading with one prediction."""
    reading = json.loads(message.payload)
    window.append([reading[f"v{index}"] for index in range(8)])
    if len(window) == window.maxlen:
        rows = np.array(window, dtype=np.float32)
        batch = rows if len(window) == 1 else rows.T[np.newaxis]
        value = session.run(None, {name: batch})[0]
        client.publish(topic_out, json.dumps({"value": float(value[0, 0])}), qos=int(qos))


def on_socket_open(_client: mqtt.Client, _user: Any, connection: Any) -> None:
    """Send small packets at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.on_connect = on_connect
client.on_message = on_message
if "nodelay" in sys.argv:
    client.on_socket_open = on_socket_open
client.connect("127.0.0.1", int(port))
client.loop_forever()

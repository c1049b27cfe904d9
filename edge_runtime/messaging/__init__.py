"""MQTT: the connection, the topics and what is written on them."""

from __future__ import annotations

from edge_runtime.deferred import defer

# paho imports them for TLS, websockets and proxies: 8 MB, of which a plain connection uses nothing.
defer("hashlib", "ssl", "urllib.request")

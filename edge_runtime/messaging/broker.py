"""Where a broker is, and what it means when it does not let us in."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edge_runtime.errors import BadInput, EnvironmentFault

DEFAULT_PORT = 1883

_MOMENT_SECONDS = 0.2

_AUTHENTICATION_REFUSALS = ("Bad user name or password", "Not authorized")  # CONNACK 4 and 5, MQTT 3.1.1 table 3.1


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how to be let in.

    Attributes:
        host: Name or address.
        port: TCP port.
        username: None connects without credentials.
        password: Never shown.
        keepalive_seconds: Longest silence before a ping; a dead link is noticed within 1.5 times this.
    """

    host: str
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_seconds: int = 30

    @classmethod
    def parse(cls, url: str, username: str | None = None, password: str | None = None, keepalive: int = 30) -> Broker:
        """Read ``mqtt://host:port``.

        Raises:
            BadInput: E-BROKER-URL, it is no such URL; mqtts is refused rather than silently spoken without TLS.
        """
        try:
            parts = urlsplit(url)
            port = DEFAULT_PORT if parts.port is None else parts.port
            (parts.hostname or "").encode("idna")  # what the resolver will do, and fail at, with "a..b"
        except ValueError as error:
            raise _bad_url(url, str(error)) from error
        if parts.scheme == "mqtts":
            raise _bad_url(url, "TLS is not supported yet")
        if parts.username or parts.password:
            raise _bad_url(url, "credentials do not belong into a URL, which is logged")
        if parts.scheme != "mqtt" or not parts.hostname or not port or parts.path.strip("/") or parts.query:
            raise _bad_url(url, "it is not of the form mqtt://host:port")
        return cls(parts.hostname, port, username, password, keepalive)

    def __str__(self) -> str:
        return f"mqtt://[{self.host}]:{self.port}" if ":" in self.host else f"mqtt://{self.host}:{self.port}"


def no_connection(broker: Broker, error: OSError) -> EnvironmentFault:
    """Return what a failed TCP connection means for the user: E-BROKER-REFUSED or E-BROKER-UNREACHABLE."""
    if isinstance(error, ConnectionRefusedError):
        return EnvironmentFault(
            "E-BROKER-REFUSED",
            f"nothing accepts MQTT connections at {broker}",
            "start the broker there (sudo systemctl start mosquitto), or correct the address",
        )
    return EnvironmentFault(
        "E-BROKER-UNREACHABLE",
        f"the broker {broker} cannot be reached: {error.strerror or error}",
        f"check the name, the cable and the firewall: ping {broker.host}",
    )


def is_answering(broker: Broker) -> bool:
    """Tell whether something at the broker's address takes a connection now and waits for what we say.

    A broker that goes down, and a proxy before it, closes what it accepts; so it is given a moment to do that.
    """
    time.sleep(_MOMENT_SECONDS)
    try:
        with socket.create_connection((broker.host, broker.port), _MOMENT_SECONDS) as connection:
            connection.settimeout(_MOMENT_SECONDS)
            return bool(connection.recv(1))
    except TimeoutError:  # it waits: the name of the error that Python 3.10 has as well
        return True
    except OSError:
        return False


def rejected(broker: Broker, answer: str | None) -> EnvironmentFault:
    """Return what a broker's answer to CONNECT means: E-BROKER-AUTH or -REJECTED; no answer: E-BROKER-UNREACHABLE."""
    if answer is None:
        return EnvironmentFault(
            "E-BROKER-UNREACHABLE",
            f"{broker} accepts connections but does not answer as an MQTT broker",
            "check that this port speaks plain MQTT 3.1.1",
        )
    if answer in _AUTHENTICATION_REFUSALS:
        return EnvironmentFault(
            "E-BROKER-AUTH",
            f"the broker {broker} does not let this client in: {answer}",
            "check username and password against the broker's password file (mosquitto_passwd)",
        )
    return EnvironmentFault("E-BROKER-REJECTED", f"the broker {broker} answered: {answer}", "see the broker's own log")


def _bad_url(url: str, why: str) -> BadInput:
    shown = re.sub(r"//.*@", "//…@", url)  # errors are logged, passwords are not
    return BadInput("E-BROKER-URL", f"broker {shown!r}: {why}", "write mqtt://HOST:1883")

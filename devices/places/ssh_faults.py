"""What the system's ssh means when it does not do as asked."""

from __future__ import annotations

import re

from devices.errors import EnvironmentFault

_SHOWN = 300
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large", "File size limit exceeded")
_NOT_LET_IN = ("Permission denied", "Too many authentication failures", "no more authentication methods")
_NOT_REACHED = (
    "Could not resolve hostname",
    "Connection refused",
    "Connection timed out",
    "Operation timed out",
    "No route to host",
    "Network is unreachable",
    "Connection closed by",
    "Connection reset by",
    "kex_exchange_identification",
    "banner exchange",
)


def no_ssh() -> EnvironmentFault:
    """Return the error for a machine of ours without the program."""
    return EnvironmentFault(
        "E-PLACE-SSH",
        "this machine has no program ssh, which a place ssh://… is reached with",
        "install it: sudo apt-get install -y openssh-client",
    )


def not_connected(place: str, how: str, written: str) -> EnvironmentFault:
    """Return why there is no connection, from what ssh wrote.

    Args:
        place: As the user wrote it.
        how: The command that makes the same connection by hand.
        written: All of ssh's standard error.
    """
    words = last_words(written)
    if "HOST IDENTIFICATION HAS CHANGED" in written:
        return _key_changed(place, written)
    if "Host key verification failed" in written:
        return EnvironmentFault(
            "E-PLACE-HOST-UNKNOWN",
            f"the host key of {place} is not among the known hosts, so nobody vouches that it is that machine",
            f"connect once by hand, compare the fingerprint with the machine's own, and accept it: {how}",
        )
    if any(sign in written for sign in _NOT_LET_IN):
        return EnvironmentFault(
            "E-PLACE-AUTH",
            f"{place} does not let us in: {words}",
            f"it must work without a password: ssh-copy-id, or ssh-add where the key has a passphrase; try: {how}",
        )
    if any(sign in written for sign in _NOT_REACHED):
        return EnvironmentFault(
            "E-PLACE-UNREACHABLE",
            f"{place} cannot be reached: {words}",
            f"check the name, that it is switched on, and that its ssh server runs; try: {how}",
        )
    return EnvironmentFault("E-PLACE-SSH", f"ssh cannot connect to {place}: {words}", f"make this work first: {how}")


def no_answer(place: str, how: str, seconds: float) -> EnvironmentFault:
    """Return the error for a machine that takes the connection and then says nothing."""
    return EnvironmentFault(
        "E-PLACE-UNREACHABLE", f"{place} did not answer within {seconds:g} s", f"look where this stops: {how}"
    )


def lost(place: str, written: str) -> EnvironmentFault:
    """Return the error for a command that did not come to its end, most often as the connection has not lasted."""
    if "Session open refused" in written:
        return EnvironmentFault(
            "E-PLACE-SSH",
            f"{place} takes too few sessions over one connection, and two are needed",
            "let its /etc/ssh/sshd_config say MaxSessions 10, which is the default, and restart its ssh server",
        )
    return EnvironmentFault(
        "E-PLACE-LOST",
        f"the connection to {place} was cut: {last_words(written)}",
        "run the same command again; that machine removes what was there of ours by itself, after 2 minutes at most",
    )


def late(place: str, seconds: float) -> EnvironmentFault:
    """Return the error for work that takes longer than it may."""
    return EnvironmentFault(
        "E-PLACE-TIMEOUT",
        f"{place} was not done after {seconds:g} s, and what ran there was killed",
        "give it fewer samples or a smaller model, or end what else runs on that machine",
    )


def no_room(place: str, written: str) -> EnvironmentFault | None:
    """Return the error for a full disk where that is what a failed command complains about, else None."""
    if not any(words in written for words in _NO_ROOM):
        return None
    return EnvironmentFault(
        "E-PLACE-DISK-FULL",
        f"{place} has no room for our files: {last_words(written)}",
        "make room in its temporary folder (df -h /tmp), or let TMPDIR there name one on a larger disk",
    )


def not_written(place: str, name: str, written: str) -> EnvironmentFault:
    """Return the error for a file that cannot be written there, though there is room."""
    return EnvironmentFault(
        "E-PLACE-FOLDER",
        f"{place} does not take the file {name}: {last_words(written)}",
        "see what its temporary folder allows: ls -ld /tmp; or let TMPDIR there name another",
    )


def no_file(place: str, name: str, written: str) -> EnvironmentFault:
    """Return the error for a file that cannot be read there."""
    return EnvironmentFault(
        "E-PLACE-NO-FILE",
        f"there is no file {name} at {place}: {last_words(written)}",
        "run the command again; if it stays, run it with --debug before the verb and report what it shows",
    )


def _key_changed(place: str, written: str) -> EnvironmentFault:
    host = re.search(r"[Hh]ost key for (\S+) has changed", written)
    file = re.search(r"Offending \S+ key in (.+):\d+", written)
    known = f"-f '{file[1].strip()}' " if file else ""
    name = host[1] if host else place.rpartition("@")[2].removeprefix("ssh://").partition("?")[0]
    return EnvironmentFault(
        "E-PLACE-HOST-KEY",
        f"the host key of {place} has changed: it is another machine, was installed anew, or somebody is in between",
        f"only where you know why it changed: ssh-keygen {known}-R '{name}', then connect once by hand",
    )


def last_words(written: str) -> str:
    """Return the last lines that say something, on one line."""
    lines = [line.strip() for line in written.splitlines() if line.strip(" @\r")]
    return "; ".join(lines[-2:])[-_SHOWN:] or "it gives no reason"

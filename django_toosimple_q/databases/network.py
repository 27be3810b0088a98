"""Bounds on the wait for a network that drops everything. TCP alone waits for a quarter hour."""

import os
import socket
from contextlib import suppress
from typing import NamedTuple

SHORTEST_CONNECT_SECONDS, LONGEST_CONNECT_SECONDS = 3, 10


class Limits(NamedTuple):
    """How long a worker waits for its databases, in whole seconds.

    connect: for a new session. probe: between two probes of a session that is quiet. lost: for the
    receipt of what was sent, and of probes.
    """

    connect: int
    probe: int
    lost: int


def limits_for(beat: float, timeout: float) -> Limits:
    """Return the limits of a worker, given the seconds of its beat and of its timeout.

    Tasks share its sessions: they lose one only once the worker may count as dead.
    """
    connect = min(max(2 * beat, SHORTEST_CONNECT_SECONDS), LONGEST_CONNECT_SECONDS)
    return Limits(round(connect), max(1, round(beat)), max(2, round(timeout)))


def bound(fileno: int, limits: Limits) -> None:
    """Set the limits on an open socket, as far as the system knows them."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", limits.probe),
        ("TCP_KEEPINTVL", limits.probe),
        ("TCP_KEEPCNT", max(1, limits.lost // limits.probe)),
        ("TCP_USER_TIMEOUT", limits.lost * 1000),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    with opened(fileno) as one:
        if one.family in (socket.AF_INET, socket.AF_INET6):
            for level, option, value in options:
                one.setsockopt(level, option, value)


def hang_up(fileno: int) -> None:
    """End a socket in both directions; a wait for it ends with an error."""
    with opened(fileno) as one, suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def opened(fileno: int) -> socket.socket:
    """Return a socket object for a file that stays the driver's own."""
    return socket.socket(fileno=os.dup(fileno))

"""A network of its own between a worker and its database, which can be made to drop everything."""

import os
import shutil
import socket
import subprocess
import threading
import unittest
from collections.abc import Callable
from contextlib import suppress

from django.db import connection


class Network:
    """A namespace behind a router, from which the database of the run is reached at `address`.

    While the router does not forward, packets of both directions vanish, and nobody is told.
    """

    def __init__(self) -> None:
        number = os.getpid() % 250
        self.router, self.inside = f"tsq-r{os.getpid()}", f"tsq-w{os.getpid()}"
        self.outer, self.inner = f"tsqo{number}", f"tsqi{number}"
        self.net = f"10.214.{number}"
        self.address = f"{self.net}.1"

    def set_up(self) -> None:
        """Make it. Raises SkipTest where namespaces cannot be made."""
        if shutil.which("ip") is None:
            raise unittest.SkipTest("needs the command ip (iproute2)")
        try:
            self._set_up()
        except subprocess.CalledProcessError as error:
            self.tear_down()
            raise unittest.SkipTest(f"needs network namespaces: {error.stderr.strip()}") from error

    def _set_up(self) -> None:
        outer, inner, net = self.outer, self.inner, self.net
        ip("netns", "add", self.router)
        ip("netns", "add", self.inside)
        ip("link", "add", outer, "type", "veth", "peer", "name", "u0", "netns", self.router)
        ip("link", "add", inner, "type", "veth", "peer", "name", "d0", "netns", self.router)
        ip("link", "set", inner, "netns", self.inside)
        ip("addr", "add", f"{net}.1/30", "dev", outer)
        ip("link", "set", outer, "up")
        for space, device, address in (
            (self.router, "u0", f"{net}.2/30"),
            (self.router, "d0", f"{net}.5/30"),
            (self.inside, inner, f"{net}.6/30"),
        ):
            ip("-n", space, "addr", "add", address, "dev", device)
            ip("-n", space, "link", "set", device, "up")
        ip("-n", self.inside, "route", "add", "default", "via", f"{net}.5")
        ip("route", "add", f"{net}.4/30", "via", f"{net}.2")
        self.forward(True)

    def tear_down(self) -> None:
        for space in (self.router, self.inside):
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", space)
        with suppress(subprocess.CalledProcessError):
            ip("link", "del", self.outer)

    def forward(self, on: bool) -> None:
        """Let packets through, or drop them."""
        switch = f"echo {int(on)} > /proc/sys/net/ipv4/ip_forward"
        ip("netns", "exec", self.router, "sh", "-c", switch)

    @property
    def prefix(self) -> list[str]:
        """Return what starts a command inside."""
        return ["ip", "netns", "exec", self.inside]


class Forwarder:
    """Accepts sessions at an address and passes each on to the database server of the run."""

    def __init__(self, address: str) -> None:
        settings = connection.settings_dict
        self.server = settings["HOST"], int(settings["PORT"])
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for one in (self.listener, *self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for one in (self.listener, *self.open):
            one.close()

    def _start(self, run: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.server)
                self.open += [client, server]
                for source, target in ((client, server), (server, client)):
                    self._start(self._copy, source, target)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(65536):
                target.sendall(received)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

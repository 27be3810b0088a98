"""A process that must not outlive the one that started it."""

import os
import signal
import threading


def die_with(leash: int) -> None:
    """Stop as on SIGTERM once nobody holds the other end any more."""

    def watch() -> None:
        os.read(leash, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="toosimpleq-leash", daemon=True).start()

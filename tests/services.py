"""What the tests share that start services: on loopback, in temporary folders."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence


class CannotRun(RuntimeError):
    """This machine lacks a service and may not get it; the message says what to install."""


def install(packages: Sequence[str], missing: Sequence[str]) -> None:
    """Get Debian packages if programs are `missing`. CannotRun without root or apt."""
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotRun(
            f"no {', '.join(missing)} here: install {' and '.join(packages)} "
            "(on Debian, these tests do that themselves when root runs them)"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment, timeout=600)


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Return as soon as `condition()` is true. TimeoutError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

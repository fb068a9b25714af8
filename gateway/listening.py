"""The socket that players connect to: opened here, or inherited, so that it outlives the process that opened it.

Workers accept from one listening socket. While anybody holds it open no connection is refused: what nobody has accepted
yet waits in its queue. systemd can hold it (socket activation), or an older gateway hands it on (gateway.take_over).
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

BACKLOG: Final = 4096
UNREAD_MS: Final = 90_000
"""As long as a silent connection may stay (gateway.door_keeper.IDLE_S)."""
FIRST_INHERITED: Final = 3
"""The first descriptor that systemd passes (sd_listen_fds(3))."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket that child processes inherit.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return _prepared(listener)


def inherited(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that systemd opened for this process; None if it opened none.

    Args:
        environment: of the process; LISTEN_PID and LISTEN_FDS are systemd's (sd_listen_fds(3)).

    Raises:
        OSError: it is not one listening TCP socket.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise OSError(
            f"systemd passes {environment.get('LISTEN_FDS')} sockets: give the .socket unit one ListenStream="
        )
    return adopt(FIRST_INHERITED)


def adopt(descriptor: int) -> socket.socket:
    """Return the listening socket behind a descriptor that another process opened.

    Raises:
        OSError: it is none.
    """
    listener = socket.socket(fileno=descriptor)
    listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if listener.family not in {socket.AF_INET, socket.AF_INET6} or not listens:
        listener.close()
        raise OSError("what was passed on is no listening TCP socket")
    return _prepared(listener)


def _prepared(listener: socket.socket) -> socket.socket:
    # Connections inherit it. A client that reads no answer any more is gone in the end, whoever serves it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    listener.listen(BACKLOG)
    listener.settimeout(0.0)
    listener.set_inheritable(True)
    return listener

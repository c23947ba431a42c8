"""Free ports for servers that a test starts as processes of their own."""

from __future__ import annotations

import random
import socket

# Below the ports that systems hand out for port 0 and for outgoing connections: on one of those, another socket
# may come between the choice of the port and the server's start.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens; this process returns none twice."""
    return next(port for port in _candidates if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# In another order in each process, whatever seeds a test has set.
_candidates = iter(random.SystemRandom().sample(PORTS, len(PORTS)))

"""Chooses ports that a checkout uses at every start."""

import http.client
import random
import socket

# Below Linux's ephemeral range (32768-60999), so that no outgoing connection takes a port we keep.
FIRST, LAST = 20_000, 32_000
CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 2.0


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now, on every interface, by TCP and by UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(("0.0.0.0", port))
            udp.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def choose(taken: set[int]) -> int:
    """A free port at random: two checkouts that choose at the same time seldom meet."""
    while True:
        port = random.randint(FIRST, LAST)
        if port not in taken and is_free(port):
            return port


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def exchange(port: int, request: bytes, size: int) -> bytes:
    """Send a request and read up to `size` bytes; empty when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=CONNECT_TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = b""
            while len(answer) < size and (part := connection.recv(size - len(answer))):
                answer += part
            return answer
    except OSError:
        return b""


def serves(port: int, path: str) -> bool:
    """Whether GET answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

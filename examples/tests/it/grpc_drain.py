"""grpc_drain.py PATH PID: SIGTERM for a gRPC server with an idle connection, half a preface, and 100 calls
that wait in the backlog. Prints what becomes of each. The HTTP/2 is written by hand.
"""

import os
import select
import signal
import socket
import sys
import time

path, pid = sys.argv[1], int(sys.argv[2])
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    # Literal without indexing (RFC 7541, 6.2.2).
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEADER_BLOCK = (
    field(b":method", b"POST")
    + field(b":scheme", b"http")
    + field(b":path", b"/helloworld.Greeter/SayHello")
    + field(b":authority", b"localhost")
    + field(b"content-type", b"application/grpc")
    + field(b"te", b"trailers")
)
CALL = frame(HEADERS, END_HEADERS, 1, HEADER_BLOCK) + frame(DATA, END_STREAM, 1, b"\0\0\0\0\x07\x0a\x05world")


def connect(data):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(data)
    return client


def frames(client):
    """Of this connection until its end. Answers pings, as a server sends one in a graceful shutdown."""
    reader = client.makefile("rb")
    try:
        while head := reader.read(9):
            payload = reader.read(int.from_bytes(head[:3], "big"))
            if head[3] == PING and not head[4] & ACK:
                client.sendall(frame(PING, ACK, 0, payload))
            yield head[3], head[4], payload
    except ConnectionResetError:
        pass


def is_answered(client):
    bodies = [payload for kind, _, payload in frames(client) if kind == DATA]
    return b"".join(bodies) == b"\0\0\0\0\x0e\x0a\x0cHello world!"


idle = connect(PREFACE + frame(SETTINGS, 0, 0))
idle_frames = frames(idle)
for kind, flags, _ in idle_frames:
    if kind == SETTINGS and flags & ACK:
        break
half = connect(PREFACE[:10])

# None of these is accepted before the signal.
os.kill(pid, signal.SIGSTOP)
while open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "T":
    time.sleep(0.001)
waiting = [connect(PREFACE + frame(SETTINGS, 0, 0) + CALL) for _ in range(100)]
os.kill(pid, signal.SIGTERM)
os.kill(pid, signal.SIGCONT)
print(sum(is_answered(client) for client in waiting), "answered")
kinds = [kind for kind, _, _ in idle_frames]
print("idle: ended" if GOAWAY in kinds else f"idle: {kinds}")
# Its settings may have come: only the end counts.
ends = select.poll()
ends.register(half, select.POLLRDHUP)
print("half a preface", "ended early" if ends.poll(0) else "is open until the drain timeout")
for _ in frames(half):
    pass
print("all ended")

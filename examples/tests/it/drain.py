"""drain.py PATH PID: SIGTERM for an HTTP/1 server with every kind of connection.

An event stream, an idle keep-alive connection, an upgraded one, half a head, and 100 requests that wait in
the backlog. Prints what becomes of each.
"""

import os
import select
import signal
import socket
import sys
import time

path, pid = sys.argv[1], int(sys.argv[2])


def connect(request):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(request)
    return client


def request(path, headers=""):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def read_until(client, end):
    received = b""
    while not received.endswith(end):
        byte = client.recv(1)
        if not byte:
            sys.exit(f"{received} ends before {end}")
        received += byte


def rest(client):
    received = b""
    try:
        while more := client.recv(1000):
            received += more
    except ConnectionResetError:
        pass
    return received


events = connect(request("/events"))
# With the end of its chunk.
read_until(events, b"data: hello\n\n\r\n")
idle = connect(request("/"))
read_until(idle, b"hello\n")
upgraded = connect(request("/echo", "Connection: upgrade\r\nUpgrade: tcp\r\n"))
read_until(upgraded, b"\r\n\r\n")
half = connect(b"GET / HTTP/1.1\r\nHo")

# None of these is accepted before the signal.
os.kill(pid, signal.SIGSTOP)
while open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "T":
    time.sleep(0.001)
waiting = [connect(request("/")) for _ in range(100)]
os.kill(pid, signal.SIGTERM)
os.kill(pid, signal.SIGCONT)
answered = sum(b"hello\n" in rest(client) for client in waiting)
print(f"{answered} answered")
print("idle:", rest(idle))
# The drain timeout has not passed: these are still open.
early = select.select([events, upgraded, half], [], [], 0)[0]
print(f"{len(early)} of the others ended before the drain timeout")
for client in events, upgraded, half:
    rest(client)
print("all ended")

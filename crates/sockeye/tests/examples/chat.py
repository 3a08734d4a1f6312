"""chat.py PATH CLIENTS LINES hangup|read: the clients of a chat, and one more that does not read.

Each sends its lines at once. Checks that all receive the same lines in the same order, and those of each
sender in the order in which it sent them. Then it waits until the one that does not read is disconnected,
or has it read: it has received the first lines, without a gap, and not the last ones.
"""

import select
import socket
import sys

path, clients, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    welcome = b""
    while not welcome.endswith(b"\n"):
        welcome += client.recv(1)
    return client, welcome.split()[-1]


silent, _ = connect()
sockets, numbers, unsent, received = {}, set(), {}, {}
epoll = select.epoll()
for _ in range(clients):
    client, number = connect()
    client.setblocking(False)
    fd = client.fileno()
    sockets[fd] = client
    numbers.add(number)
    unsent[fd] = memoryview(b"".join(b"%s says line %d\n" % (number, at) for at in range(lines)))
    received[fd] = 0
    epoll.register(fd, select.EPOLLIN | select.EPOLLOUT)

# All that the client received that is furthest ahead, and how many bytes that will be.
room = bytearray()
size = lines * sum(len(number) + 2 for number in numbers) + sum(map(len, unsent.values()))
incomplete = clients
while incomplete:
    for fd, ready in epoll.poll():
        client = sockets[fd]
        if ready & select.EPOLLOUT and unsent[fd]:
            unsent[fd] = unsent[fd][client.send(unsent[fd]) :]
            if not unsent[fd]:
                epoll.modify(fd, select.EPOLLIN)
        if ready & select.EPOLLIN:
            got = client.recv(1 << 16)
            at = received[fd]
            known = room[at : at + len(got)]
            if not got or got[: len(known)] != known:
                sys.exit(f"client {fd} received {bytes(got[:200])} at byte {at} of {size}, not {bytes(known[:200])}")
            room += got[len(known) :]
            received[fd] = at + len(got)
            incomplete -= received[fd] == size

of_each = dict.fromkeys(numbers, 0)
for line in room.splitlines():
    number, text = bytes(line).split(b": ", 1)
    if text != b"%s says line %d" % (number, of_each[number]):
        sys.exit(f"{line} follows line {of_each[number]} of its sender")
    of_each[number] += 1
if set(of_each.values()) != {lines}:
    sys.exit(f"lines are missing: {of_each}")
print(f"{clients} clients received {clients * lines} lines each")

for client in sockets.values():
    client.setblocking(True)
    client.shutdown(socket.SHUT_WR)
for client in sockets.values():
    while client.recv(1 << 16):
        pass
if sys.argv[4] == "hangup":
    hangup = select.poll()
    hangup.register(silent, 0)
    hangup.poll()
known = b""
while got := silent.recv(1 << 16):
    known += got
if len(known) >= size or room[: len(known)] != known:
    sys.exit(f"the one that did not read received {len(known)} bytes of {size}")
print("the one that did not read was disconnected")

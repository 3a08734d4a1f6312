"""Makes sockets of all kinds and states at random, shares them with forked processes, and compares
what `sockeye ls` says of them with ss and lsof. Arguments: the command, a directory, a seed."""

import json
import os
import random
import re
import socket
import subprocess
import sys

command, directory, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(seed)
held = []


def connections():
    for number in range(chance.randrange(3, 8)):
        kind = chance.choice([socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
        listener = socket.socket(socket.AF_UNIX, kind)
        # Paths with a space are cut by lsof, but inodes are what is compared.
        name = f"{directory}/{number} s" if chance.random() < 0.7 else f"\0{directory}{number}"
        listener.bind(name)
        listener.listen(9)
        held.append(listener)
        for _ in range(chance.randrange(5)):
            client = socket.socket(socket.AF_UNIX, kind)
            client.connect(name)
            held.append(client)
            if chance.random() < 0.6:
                held.append(listener.accept()[0])


def pairs_and_datagrams():
    kinds = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM]
    for _ in range(chance.randrange(6)):
        held.extend(socket.socketpair(socket.AF_UNIX, chance.choice(kinds)))
    for number in range(chance.randrange(4)):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(f"{directory}/d{number}")
        held.append(server)
        for _ in range(chance.randrange(3)):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            client.connect(f"{directory}/d{number}")
            held.append(client)


def fork_sharers():
    """Each closes about half of what it has inherited, says so, and waits for its end."""
    children = []
    for number in range(chance.randrange(1, 5)):
        ready, say = os.pipe()
        child = os.fork()
        if child == 0:
            own = random.Random(f"{seed} {number}")
            for one in [one for one in held if own.random() < 0.5]:
                one.close()
            os.write(say, b".")
            os.read(end, 1)
            os._exit(0)
        os.close(say)
        os.read(ready, 1)
        os.close(ready)
        children.append(child)
    return children


def output(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, errors="surrogateescape").stdout


def by_sockeye(mine):
    found = {}
    for line in output(command, "ls", "--all", "--json").splitlines():
        one = json.loads(line)
        holders = {(h["pid"], h["fd"]) for h in one["holders"] or [] if h["pid"] in mine}
        if holders:
            peer = one["peer"] and one["peer"]["inode"]
            found[one["inode"]] = (peer, holders)
            assert one["state"] != "pending" or one["peer"]["address"] is not None, one
    return found


def by_ss(mine):
    found = {}
    for line in output("ss", "-xapeH").splitlines():
        holders = {(int(p), int(f)) for p, f in re.findall(r"pid=(\d+),fd=(\d+)", line)}
        holders = {holder for holder in holders if holder[0] in mine}
        if holders:
            ends = re.match(r"(?:\S+\s+){4}.*?\s(\d+)\s+\S+\s+(\d+)\s", line + " ")
            found[int(ends.group(1))] = (int(ends.group(2)) or None, holders)
    return found


def by_lsof(mine):
    found, pid, fd = {}, None, None
    for line in output("lsof", "+E", "-U", "-F", "pfi").splitlines():
        field, value = line[0], line[1:]
        if field == "p":
            pid = int(value)
        elif field == "f":
            fd = value
        elif field == "i" and pid in mine:
            found.setdefault(int(value), set()).add((pid, int(fd)))
    return found


connections()
pairs_and_datagrams()
end, hold = os.pipe()
children = fork_sharers()
for one in [one for one in held if chance.random() < 0.2]:
    one.close()
try:
    mine = {os.getpid(), *children}
    ours, ss, lsof = by_sockeye(mine), by_ss(mine), by_lsof(mine)
finally:
    os.write(hold, b"." * len(children))
    for child in children:
        os.waitpid(child, 0)
assert ours, "there is something to compare"
assert ours == ss, f"seed {seed}: sockeye {ours} and ss {ss}"
holders = {inode: holders for inode, (_, holders) in ours.items()}
assert holders == lsof, f"seed {seed}: sockeye {holders} and lsof {lsof}"
print("same", len(ours))

"""A long line: carries packets between two TUN devices, late, and no faster than it is told.

    line.py NEAR FAR DELAY_MS

Makes both devices, says "ready", and carries until standard input ends. Each line there is a rate in bits per
second for what goes to NEAR; 0 is no limit. The kernel's netem does the same where there is one.
"""

import collections
import fcntl
import os
import select
import struct
import sys
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001
# What waits longer than this where the line is narrow is lost.
QUEUE = 0.2


def device(name):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_WITHOUT_HEADER))
    os.set_blocking(tun, False)
    return tun


def carry(source, target, delay, rate):
    """`rate` is a list of one number, which another thread may change."""
    on_the_way = collections.deque()
    free = 0.0
    while True:
        now = time.monotonic()
        while on_the_way and on_the_way[0][0] <= now:
            try:
                os.write(target, on_the_way.popleft()[1])
            except OSError:
                pass  # Lost on the line.
        patience = max(on_the_way[0][0] - now, 0) if on_the_way else None
        if not select.select([source], [], [], patience)[0]:
            continue
        for _ in range(64):
            try:
                packet = os.read(source, 65536)
            except BlockingIOError:
                break
            now = time.monotonic()
            free = max(free, now)
            if rate[0]:
                if free - now > QUEUE:
                    continue
                free += len(packet) * 8 / rate[0]
            on_the_way.append((free + delay, packet))


def main():
    near, far = device(sys.argv[1]), device(sys.argv[2])
    delay = float(sys.argv[3]) / 1000
    # Each direction has a process of its own, for speed; the other one ends with this one's end of the pipe.
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.close(theirs)
        threading.Thread(target=carry, args=(near, far, delay, [0]), daemon=True).start()
        os.read(ours, 1)
        return
    rate = [0]
    threading.Thread(target=carry, args=(far, near, delay, rate), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        rate[0] = int(line)


main()

"""Runs one command and tells what it cost.

    launch.py FD COMMAND [ARGUMENT...]     writes "STATUS WALL CPU PEAK" to the descriptor FD:
                                           exit status, seconds, seconds, KiB

A process begins with the peak memory of the one that made it, so this is a process of its own that
imports next to nothing: nothing below its own 9 MiB can be told apart, where with the benchmark as
the parent it would be nothing below 30.
"""

import os
import sys
import time


def main():
    out, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(out, False)
    begin = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - begin
    cpu = usage.ru_utime + usage.ru_stime
    text = f"{os.waitstatus_to_exitcode(status)} {wall} {cpu} {usage.ru_maxrss}\n"
    os.write(out, text.encode())


main()

"""On a machine that others share, a processor may be slow for as long as its neighbours work. Who measures waits for better
moments, the same for everything that is compared."""
import math
import os
import statistics
import time


class Quiet:
    """Processors that nobody else is on: a short loop takes no longer there than it ever did, or 15 % more."""

    MOST_WAIT_S = 1.0

    def __init__(self):
        self.processors = sorted(os.sched_getaffinity(0))
        self.best_ns = math.inf
        self.waited_s = 0.0

    @staticmethod
    def loop_ns():
        begin, total = time.perf_counter_ns(), 0
        for number in range(40_000):
            total += number
        return time.perf_counter_ns() - begin

    def look(self):
        taken = {}
        for processor in self.processors:
            os.sched_setaffinity(0, {processor})
            taken[processor] = statistics.median(self.loop_ns() for _ in range(3))
        os.sched_setaffinity(0, self.processors)
        self.best_ns = min(self.best_ns, *taken.values())
        return taken

    def wait(self, threads):
        """The processors to run on: with one thread the quietest; with more all, and so many of them are to be quiet."""
        begin = time.monotonic()
        while True:
            taken = self.look()
            quiet = [processor for processor in self.processors if taken[processor] <= 1.15 * self.best_ns]
            if len(quiet) >= min(threads, len(self.processors)) or time.monotonic() - begin > self.MOST_WAIT_S:
                break
        self.waited_s += time.monotonic() - begin
        return {min(taken, key=taken.get)} if threads == 1 else set(self.processors)

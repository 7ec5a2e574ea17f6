"""Times in fixed buckets: what percentiles are read from."""

from bisect import bisect_left
from itertools import accumulate

BOUNDS_MS: tuple[int, ...] = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000),
    *(10_000, 15_000, 20_000, 30_000, 55_000),  # Heroku: a router waits 30 s, then 55 s between bytes
)


class Histogram:
    """Milliseconds. A bucket holds what is over the bound before and up to its own; the last is open."""

    __slots__ = ("counts", "most", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum = 0
        self.most = 0

    def add(self, ms: int, count: int = 1) -> None:
        """So many of this value."""
        self.counts[bisect_left(BOUNDS_MS, ms)] += count
        self.sum += ms * count
        self.most = max(self.most, ms)

    def percentile(self, share: float) -> float:
        """The value that this share lies below, as if a bucket's values lay evenly in it; 0 if there is none."""
        return percentile([self], share)

    def cumulative(self) -> list[int]:
        """How many are no more than each bound, and in all."""
        return list(accumulate(self.counts))


def percentile(histograms: list[Histogram], share: float) -> float:
    """Of several together."""
    counts = [sum(column) for column in zip(*(each.counts for each in histograms), strict=True)]
    most = max(each.most for each in histograms)
    rank = share * sum(counts)
    before = 0
    for index, count in enumerate(counts):
        if count and before + count >= rank:
            low = BOUNDS_MS[index - 1] if index else 0
            high = BOUNDS_MS[index] if index < len(BOUNDS_MS) else most
            return float(min(low + (high - low) * (rank - before) / count, most))
        before += count
    return 0.0

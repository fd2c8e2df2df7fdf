"""Distance profiles of time series: how far every stretch of a series is from a query."""

from profiles._kernels import DistanceProfile

__all__ = ["DistanceProfile", "nearest"]


def nearest(series, query):
    """Return where the stretch of `series` begins that is nearest to `query`, both float64 (n,) and (m,)."""
    return int(DistanceProfile(series).profile(query).argmin())

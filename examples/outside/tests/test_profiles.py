"""The library's own tests, which know nothing of targets."""

import numpy as np
import profiles
import pytest


def test_a_stretch_of_the_series_is_nearest_to_itself():
    series = np.random.default_rng(1).standard_normal(1000)
    assert profiles.nearest(series, series[300:350]) == 300


def test_a_query_of_one_value_is_refused():
    with pytest.raises(ValueError, match="2 values or more"):
        profiles.nearest(np.zeros(10), np.zeros(1))

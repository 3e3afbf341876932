"""docs/calibration.csv: values of all metrics on ten images agree with independent implementations."""

import numpy as np
import pandas as pd
import pytest
from calibration import ABSOLUTE_TOLERANCE, TABLE, TOLERANCES, calibrate

from ssdie.evaluation.metrics import METRICS

KEY = ["image", "metric"]


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return pd.read_csv(TABLE)


@pytest.fixture(scope="module")
def computed() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSDIE_DATA", raising=False)
        return calibrate(referenced=("blot", "coffee"))


def test_the_table_has_every_metric_on_ten_images(stored):
    assert stored["image"].nunique() == 10
    assert all(group["metric"].tolist() == list(METRICS) for _, group in stored.groupby("image"))


def test_the_table_agrees_with_the_independent_implementations(stored):
    tolerance = ABSOLUTE_TOLERANCE + stored["metric"].map(TOLERANCES) * stored["reference"].abs()
    gap = (stored["ours"] - stored["reference"]).abs()
    undefined = stored["ours"].isna() & stored["reference"].isna()
    assert (undefined | (gap <= tolerance)).all(), stored[~(undefined | (gap <= tolerance))]


def test_the_table_equals_the_current_values(stored, computed):
    tables = (table.set_index(KEY)["ours"] for table in (computed, stored))
    np.testing.assert_allclose(*tables, rtol=1e-4, atol=ABSOLUTE_TOLERANCE)


def test_the_independent_implementations_give_the_stored_values(stored, computed):
    expected = computed[computed["image"].isin(["blot", "coffee"])].set_index(KEY)["reference"]
    np.testing.assert_allclose(stored.set_index(KEY)["reference"][expected.index], expected, rtol=1e-4, atol=1e-5)

"""The Parquet file of a bundle as a data frame; pandas is imported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def to_dataframe(path: Path) -> Any:
    """Return one line per case, target, method and feature, with value and bounds.

    Raises
    ------
    RequestError : pandas is not installed.
    """
    import numpy as np
    import pyarrow.parquet

    from blackbox.errors import RequestError

    try:
        import pandas as pd
    except ImportError:
        raise RequestError("to_dataframe needs pandas: python -m pip install pandas.") from None
    table = pyarrow.parquet.read_table(path)
    names = (table.schema.metadata or {}).get(b"features")
    columns = table.to_pydict()
    values, lower, upper = columns.pop("values"), columns.pop("lower"), columns.pop("upper")
    features = columns.pop("features", None) or [json.loads(names or b"[]")] * len(values)
    counts = [len(inner) for inner in values]
    frame = pd.DataFrame(columns).loc[lambda f: f.index.repeat(counts)].reset_index(drop=True)
    frame["feature"] = [name for inner in features for name in inner]
    for name, lists in (("value", values), ("lower", lower), ("upper", upper)):
        flat = [item for inner, n in zip(lists, counts, strict=True) for item in (inner or [None] * n)]
        frame[name] = np.array(flat, dtype=float)
    return frame

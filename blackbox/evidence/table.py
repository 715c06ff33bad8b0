"""All explanations as one Parquet file: a line per case, target and method, written group by group."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GROUP = 4096
"""Lines per row group: about 3 MB of values at 30 features."""

SCHEMA = "blackbox.explanations/1"


@dataclass
class TableWriter:
    """Writes lines as they come and holds at most one row group.

    features : the names of the features as JSON lists, one per kind of case. Where all cases have the same
    ones, values and bounds are lists of fixed size and the names stand in the schema's metadata under
    ``features``; where they differ, the lists are as long as each case's own and a column names them.
    """

    path: Path
    features: Sequence[str]
    _lines: list[dict[str, Any]] = field(default_factory=list)
    _writer: Any = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record of kind ``explanation``."""
        told = record["explanation"]
        line = {
            **{name: record[name] for name in ("number", "case", "row", "target", "method")},
            "scale": told["scale"], "outcome": told["outcome"], "base": told["base_values"],
            "full": told["full_values"], "values": told["values"], "lower": told["lower_bounds"],
            "upper": told["upper_bounds"], "rows": told["rows"], "rows_shared": told["rows_shared"],
        }  # fmt: skip
        if len(self.features) != 1:
            line["features"] = told["feature_names"]
        self._lines.append(line)
        if len(self._lines) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left and end the file, which has its columns even without a line."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = self._schema(pyarrow)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self.path, schema, compression="zstd")
        if self._lines:
            self._writer.write_table(pyarrow.Table.from_pylist(self._lines, schema))
        self._lines.clear()

    def _schema(self, pyarrow: Any) -> Any:
        one = len(self.features) == 1
        values = pyarrow.list_(pyarrow.float64(), len(json.loads(self.features[0])) if one else -1)
        text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
        columns = {
            "number": whole, "case": text, "row": whole, "target": text, "method": text, "scale": text,
            "outcome": text, "base": number, "full": number, "values": values, "lower": values,
            "upper": values, "rows": whole, "rows_shared": whole,
        }  # fmt: skip
        metadata = {"schema": SCHEMA}
        if one:
            metadata["features"] = self.features[0]
        else:
            columns["features"] = pyarrow.list_(text)
        return pyarrow.schema(list(columns.items()), metadata)

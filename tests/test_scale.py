"""An audit's memory does not grow with its cases; marked slow, because it audits thousands."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "audit.py"


def test_ten_times_the_rows_add_at_most_a_tenth_and_64_mib():
    spec = importlib.util.spec_from_file_location("audit_benchmark", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    few, many = benchmark.measure(400), benchmark.measure(4000)
    assert (few["cases"], many["cases"]) == (400, 4000)
    assert many["bundle_mib"] > 5 * few["bundle_mib"]
    assert many["peak_mib"] <= 1.1 * few["peak_mib"] + 64, json.dumps([few, many])

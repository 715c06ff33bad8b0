"""Which cells belong to which feature: an integer label per input cell, plus names."""

from blackbox.features.labels import Features, choose, from_labels
from blackbox.features.pictures import patches, picture_axes, pixel_means, superpixels
from blackbox.features.tables import columns, grouped

__all__ = [
    "Features", "choose", "columns", "from_labels", "grouped", "patches", "picture_axes",
    "pixel_means", "superpixels",
]  # fmt: skip

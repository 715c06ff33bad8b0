"""Heat maps and subset pictures as small PNG files, from arrays alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from blackbox.case import Case
from blackbox.features import picture_axes

SUPPORTS = np.array([33, 102, 172], dtype=float)
OPPOSES = np.array([202, 88, 32], dtype=float)
"""Blue and vermilion: told apart by readers who cannot tell red from green."""

SIDE = 224
"""Pictures are enlarged to about this many pixels, whole pixels to whole pixels."""


def is_picture(case: Case) -> bool:
    """One input with two spatial axes."""
    arrays = list(case.x.values())
    return len(arrays) == 1 and arrays[0].ndim > 1 and picture_axes(arrays[0].shape) is not None


def _planes(case: Case, array: np.ndarray) -> np.ndarray:
    """Return an array shaped like the input as (height, width, channels)."""
    (like,) = case.x.values()
    axes = picture_axes(like.shape) or (0, 1)
    moved = np.moveaxis(array, axes, (0, 1))
    return moved.reshape(*moved.shape[:2], -1)


def original(case: Case) -> np.ndarray:
    """The input as UInt8[np.ndarray, "height width 3"], stretched to its own range."""
    (array,) = case.x.values()
    planes = _planes(case, array).astype(float)
    low, high = planes.min(), planes.max()
    scaled = (planes - low) / ((high - low) or 1.0)
    colour = scaled if scaled.shape[2] == 3 else np.repeat(scaled.mean(axis=2, keepdims=True), 3, axis=2)
    return np.asarray(np.rint(colour * 255), dtype=np.uint8)


def value_map(case: Case, values: np.ndarray) -> np.ndarray:
    """Spread Float[np.ndarray, "d"] over the pixels: Float[np.ndarray, "height width"], channels averaged."""
    (labels,) = case.features.labels.values()
    planes = _planes(case, labels)
    return np.asarray(np.where(planes >= 0, values[np.maximum(planes, 0)], 0.0).mean(axis=2))


def heat(case: Case, values: np.ndarray) -> np.ndarray:
    """Colour the pixels by their value: blue supports, vermilion opposes, over the faded input."""
    spread = value_map(case, values)
    strength = np.abs(spread) / (np.abs(spread).max() or 1.0)
    colour = np.where(spread[..., None] >= 0, SUPPORTS, OPPOSES)
    tone = original(case).astype(float).mean(axis=2, keepdims=True)
    tone = 255 - tone if tone.mean() < 128 else tone  # a dark picture is shown as its negative
    faded = 255 - (255 - tone) * 0.18
    mixed = faded * (1 - strength[..., None]) + colour * strength[..., None]
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def subset(case: Case, members: Sequence[int]) -> np.ndarray:
    """Show the input where its features are in the subset, and a pale checkerboard elsewhere."""
    inside = value_map(case, np.isin(np.arange(len(case.features)), list(members)).astype(float)) > 0
    rows, columns = np.indices(inside.shape)
    hidden = np.where((rows + columns) % 2 == 0, 226, 240)[..., None].repeat(3, axis=2)
    return np.asarray(np.where(inside[..., None], original(case), hidden), dtype=np.uint8)


def marked(case: Case, members: Sequence[int]) -> np.ndarray:
    """Mark the features of a subset in blue on the faded input: few pixels are seen among many."""
    inside = value_map(case, np.isin(np.arange(len(case.features)), list(members)).astype(float)) > 0
    shade = original(case).astype(float).mean(axis=2, keepdims=True)
    colour = np.where(inside[..., None], SUPPORTS * 0.8 + shade * 0.2, 185 + shade * 0.25)
    return np.asarray(np.rint(colour), dtype=np.uint8)


def frequency(cases: Sequence[Case], members: Sequence[Sequence[int]]) -> np.ndarray:
    """Colour each pixel by the share of subsets that hold it: white = none, blue = all of them."""
    inside = [
        value_map(case, np.isin(np.arange(len(case.features)), list(chosen)).astype(float)) > 0
        for case, chosen in zip(cases, members, strict=True)
    ]
    share = np.mean(inside, axis=0)[..., None]
    return np.asarray(np.rint(250 * (1 - share) + SUPPORTS * share), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Encode pixels as PNG, enlarged by a whole factor so that every pixel stays a square."""
    from PIL import Image

    factor = max(1, SIDE // max(pixels.shape[:2]))
    large = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    file = io.BytesIO()
    Image.fromarray(large).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_uri(pixels: np.ndarray) -> str:
    """Return the PNG as a ``data:`` address, for a page that loads nothing."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")

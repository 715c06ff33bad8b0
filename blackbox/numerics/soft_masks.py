"""RISE's masks: coarse random grids, enlarged smoothly and shifted at random."""

from __future__ import annotations

import numpy as np

INTERPOLATIONS = ("linear", "cubic")


def enlarging(cells: int, size: int, interpolation: str = "linear") -> np.ndarray:
    """Return the weights that enlarge ``cells`` values to (cells + 1) ceil(size / cells) pixels.

    Pixel centres are aligned and edges repeated, as in the published programs.

    Parameters
    ----------
    interpolation : ``linear`` (RISE) or ``cubic`` (convolution with a = -0.75, as OpenVINO's, to be clipped).

    Returns
    -------
    Float[np.ndarray, "pixels cells"], rows summing to 1.
    """
    pixels = (cells + 1) * -(-size // cells)
    centre = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    first = np.floor(centre).astype(int)
    found = np.zeros((pixels, cells))
    for step in (0, 1) if interpolation == "linear" else (-1, 0, 1, 2):
        place = first + step
        away = np.abs(centre - place)
        weight = np.maximum(1 - away, 0) if interpolation == "linear" else _cubic(away)
        np.add.at(found, (np.arange(pixels), np.clip(place, 0, cells - 1)), weight)
    return found


def _cubic(x: np.ndarray, a: float = -0.75) -> np.ndarray:
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def smooth_masks(
    grids: np.ndarray, offsets: np.ndarray, down: np.ndarray, across: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Enlarge grids Float["n s s"], crop each at its offset Int["n 2"]: Float["n height width"] in [0, 1]."""
    large = down @ grids.astype(float) @ across.T
    np.clip(large, 0, 1, out=large)
    crops = np.lib.stride_tricks.sliding_window_view(large, size, axis=(1, 2))
    return np.asarray(crops[np.arange(len(large)), offsets[:, 0], offsets[:, 1]])


def mean_crop(weights: np.ndarray, size: int, offsets: int) -> np.ndarray:
    """Average enlarging weights over all offsets: Float["pixels s"] -> Float["size s"]."""
    return np.asarray(np.mean([weights[start : start + size] for start in range(offsets)], axis=0))

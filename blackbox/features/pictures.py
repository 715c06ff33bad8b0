"""Features of pictures: a grid of patches, or superpixels that follow the picture."""

from __future__ import annotations

import numpy as np

from blackbox.errors import RequestError


def picture_axes(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the (height, width) axes of one input without its batch axis, or None.

    (height, width); (channels, height, width) and (height, width, channels) with 1 to 4 channels.
    """
    if len(shape) == 2:
        return (0, 1)
    if len(shape) == 3 and shape[0] <= 4:
        return (1, 2)
    if len(shape) == 3 and shape[2] <= 4:
        return (0, 1)
    return None


def _size(shape: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """Return height, width and the shape in which (height, width) labels broadcast."""
    axes = picture_axes(shape)
    if axes is None:
        raise RequestError(f"An input of shape {shape} is no picture: it needs two spatial axes.")
    frame = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    return shape[axes[0]], shape[axes[1]], frame


def patches(shape: tuple[int, ...], down: int, across: int) -> tuple[np.ndarray, list[str]]:
    """Cut a picture into ``down`` x ``across`` patches whose sizes differ by at most one pixel.

    Returns
    -------
    Int[np.ndarray, "*broadcastable to shape"] and the patches' names, in reading order.
    """
    height, width, frame = _size(shape)
    if not (1 <= down <= height and 1 <= across <= width):
        raise RequestError(
            f"A grid of {down} x {across} patches does not fit a picture of {height} x {width} pixels."
        )
    rows = np.arange(height) * down // height
    columns = np.arange(width) * across // width
    names = [f"patch {r},{c}" for r in range(down) for c in range(across)]
    return (rows[:, None] * across + columns).reshape(frame), names


def superpixels(image: np.ndarray, count: int, compactness: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Cut a picture into about ``count`` connected regions of similar colour.

    K-means over colour and position, started from a regular grid, then connected components: the
    idea of SLIC (Achanta et al. 2012, doi 10.1109/TPAMI.2012.120) with library parts.

    Parameters
    ----------
    image : Float[np.ndarray, "*shape"], one input without its batch axis.
    count : wanted regions; ``compactness`` : weight of position against colour, both scaled to
        a range of one.
    """
    from sklearn.cluster import KMeans

    height, width, frame = _size(image.shape)
    if not 1 <= count <= height * width:
        raise RequestError(f"superpixels must be between 1 and {height * width}; got {count}.")
    points = _colour_and_place(image, compactness)
    across = max(1, round(np.sqrt(count * width / height)))
    start, _ = patches((height, width), min(height, max(1, round(count / across))), min(width, across))
    centres = np.array([points[start.ravel() == k].mean(axis=0) for k in range(start.max() + 1)])
    cluster = KMeans(len(centres), init=centres, n_init=1, max_iter=20).fit(points).labels_
    labels = _connected(cluster.reshape(height, width))
    return labels.reshape(frame), [f"region {k}" for k in range(labels.max() + 1)]


def _colour_and_place(image: np.ndarray, compactness: float) -> np.ndarray:
    axes = picture_axes(image.shape) or (0, 1)
    colour = np.moveaxis(image, axes, (0, 1)).reshape(image.shape[axes[0]], image.shape[axes[1]], -1)
    spread = float(np.ptp(colour)) or 1.0
    place = np.moveaxis(np.indices(colour.shape[:2]), 0, 2) / max(colour.shape[:2])
    both = np.concatenate([colour / spread, compactness * place], axis=2)
    return np.asarray(both.reshape(-1, both.shape[2]), dtype=float)


def _connected(cluster: np.ndarray) -> np.ndarray:
    """Number the connected parts of every cluster in reading order of their first pixel."""
    from scipy.ndimage import label

    parts = np.zeros(cluster.shape, dtype=np.int64)
    for value in np.unique(cluster):
        found, _ = label(cluster == value)
        parts[found > 0] = found[found > 0] + parts.max()
    _, first, inverse = np.unique(parts, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse].reshape(cluster.shape))


def pixel_means(pixels: np.ndarray, labels: np.ndarray, axes: tuple[int, ...], d: int) -> np.ndarray:
    """Average Float[np.ndarray, "height width t"], or "steps t" of a series, over the cells of every feature.

    Parameters
    ----------
    labels : the feature of every cell of the input; axes : which of its axes are height and width.

    Returns
    -------
    Float[np.ndarray, "d t"]
    """
    first = tuple(range(len(axes)))
    flat = np.moveaxis(labels, axes, first).reshape(*pixels.shape[:-1], -1)
    inside = flat >= 0
    held, counts = flat[inside], np.bincount(flat[inside], minlength=d)
    sums = [
        np.bincount(held, np.broadcast_to(pixels[..., t, None], flat.shape)[inside], minlength=d)
        for t in range(pixels.shape[-1])
    ]
    return np.stack(sums, axis=1) / counts[:, None]


def feature_places(labels: np.ndarray, d: int) -> np.ndarray | None:
    """Return Int[np.ndarray, "d 2"], the row and column of every feature's middle; None for no picture.

    Parameters
    ----------
    labels : the feature of every cell of one input, -1 where a cell belongs to none.
    """
    axes = picture_axes(labels.shape)
    if axes is None:
        return None
    inside = labels >= 0
    counts = np.maximum(np.bincount(labels[inside], minlength=d), 1)
    sums = [np.bincount(labels[inside], np.nonzero(inside)[axis], minlength=d) for axis in axes]
    return np.stack([np.floor(total / counts) for total in sums], axis=1).astype(np.int64)

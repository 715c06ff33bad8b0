"""Pictures: PNG, JPEG or WebP files and the declaration of what the model wants of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.errors import RequestError
from blackbox.model import Signature, missing_file
from blackbox.settings import choice

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MOST_PIXELS = 40_000_000
"""A larger picture is refused before it is decoded: a small file can unfold into gigabytes."""


@dataclass(frozen=True)
class ImageSpec:
    """How a picture becomes an input.

    size : (height, width) in pixels; None = the model's own fixed size. layout : ``NCHW``,
    ``NHWC`` or ``NHW``; None = from the model's shape. range : what 0..255 is mapped to. mean, std :
    one number per channel, in units of ``range``; value = (pixel - mean) / std.
    """

    size: tuple[int, int] | None = None
    layout: str | None = None
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.layout is not None:
            choice("layout", self.layout, ("NCHW", "NHWC", "NHW"))
        if self.size is not None and min(self.size) < 1:
            raise RequestError(f"The picture size must be at least 1 x 1 pixels; got {self.size}.")
        if any(value <= 0 for value in self.std):
            raise RequestError(f"std must be above zero in every channel; got {list(self.std)}.")

    def resolved(self, signature: Signature) -> tuple[ImageSpec, int]:
        """Fill size and layout from the model's input; return them and the number of channels.

        Raises
        ------
        RequestError : the model takes no picture, or its size is open and was not declared.
        """
        if len(signature.inputs) != 1:
            raise RequestError("A picture needs a model with one input; this one has several.")
        shape = signature.inputs[0].cell_shape
        layout = self.layout or _layout(shape)
        axes = {"NCHW": (1, 2, 0), "NHWC": (0, 1, 2), "NHW": (0, 1, None)}[layout]
        if len(shape) != len(layout) - 1:
            raise RequestError(f"Layout {layout} does not fit the model's input shape {shape}.")
        size = self.size or (shape[axes[0]], shape[axes[1]])
        if not all(isinstance(side, int) for side in size):
            raise RequestError("The model leaves the picture's size open: declare it (height x width).")
        channels = 1 if axes[2] is None else shape[axes[2]]
        found = ImageSpec(size, layout, self.range, self.mean, self.std)  # type: ignore[arg-type]
        return found, channels if isinstance(channels, int) else 3


def _layout(shape: tuple[int | str | None, ...]) -> str:
    if len(shape) == 2:
        return "NHW"
    if len(shape) == 3 and shape[0] in (1, 2, 3, 4):
        return "NCHW"
    if len(shape) == 3 and shape[2] in (1, 2, 3, 4):
        return "NHWC"
    raise RequestError(f"The model's input shape {shape} is no picture: declare a layout, or give a table.")


def read_image(path: Path, signature: Signature, spec: ImageSpec) -> np.ndarray:
    """Read one picture as the model's input, without the batch axis.

    Resized bilinearly if needed, converted to grey or RGB by the model's number of channels,
    scaled, and normalised; the declared dtype is kept for the caller's cast.

    Returns
    -------
    Float64[np.ndarray, "*cell_shape"]

    Raises
    ------
    RequestError : missing, no PNG/JPEG/WebP, broken, or too large.
    """
    found, channels = spec.resolved(signature)
    assert found.size is not None
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    if mode is None:
        raise RequestError(f"A picture cannot fill {channels} channels; give an .npy array instead.")
    low, high = found.range
    pixels = low + (high - low) * _pixels(path, mode, found.size) / 255.0
    values = (pixels - _per_channel("mean", spec.mean, channels)) / _per_channel("std", spec.std, channels)
    if found.layout == "NHW":
        return np.asarray(values[:, :, 0])
    return np.moveaxis(values, 2, 0) if found.layout == "NCHW" else values


def _per_channel(name: str, values: tuple[float, ...], channels: int) -> np.ndarray:
    if len(values) not in (1, channels):
        raise RequestError(f"{name} needs 1 or {channels} numbers; got {len(values)}.")
    return np.array(values, dtype=float)


def _pixels(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    if not path.exists():
        raise missing_file(path, "picture")
    try:
        with _no_warning(), Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise RequestError(f"{path} has {image.width} x {image.height} pixels, too many to read.")
            upright = ImageOps.exif_transpose(image)  # cameras store the turn beside the pixels
            fitted = _eight_bits(upright).convert(mode)
            if fitted.size != (size[1], size[0]):
                fitted = fitted.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            array = np.asarray(fitted, dtype=float)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        raise RequestError(f"{path} is no readable PNG, JPEG or WebP picture: {error}.") from None
    return array[:, :, None] if array.ndim == 2 else array


@contextmanager
def _no_warning() -> Iterator[None]:
    """Make an error of Pillow's warning about pictures that unfold too large, which it would read on."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _eight_bits(image: Any) -> Any:
    """Scale a grey picture of 16 bits to 8; Pillow's own conversion cuts it off at 255."""
    return image.point(lambda grey: grey / 257, "L") if image.mode.startswith("I") else image

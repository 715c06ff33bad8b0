"""Hiding as arithmetic: background rows put in the hidden cells, for many masks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from blackbox.model import Hiding, Rows

LARGE = 8192
"""Cells of a row beyond which it costs more to gather every mask's own input (0.7 ms for 3 x 224 x 224) than
to fill game by game (0.1 ms); below, the Python per game is what costs."""


WIDE = 2048
"""Cells of all rows of a mask up to which filling them costs less than the Python of flipping one feature."""


@dataclass(frozen=True)
class Places:
    """Which cells of one input belong to which feature.

    flat : Int[np.ndarray, "cells"], the feature of every cell in one line. few : Int[np.ndarray, "k"], the
    same for the first of several equal stretches, such as the channels of a picture; None where every cell
    is a feature of its own, in order.
    """

    flat: np.ndarray
    few: np.ndarray | None
    d: int

    @classmethod
    def of(cls, labels: np.ndarray, d: int) -> Places:
        """Look for what repeats along the leading axis."""
        flat = labels.ravel()
        if np.array_equal(flat, np.arange(d)):
            return cls(flat, None, d)
        repeats = labels.ndim > 1 and bool((labels == labels[:1]).all())
        return cls(flat, labels[0].ravel() if repeats else flat, d)

    def kept(self, masks: np.ndarray) -> np.ndarray:
        """Return Bool[np.ndarray, "n k"], True where a cell of the first stretch is kept."""
        if self.few is None:
            return masks
        # the column after the last stands for label -1
        padded = np.ones((len(masks), masks.shape[1] + 1), dtype=bool)
        padded[:, :-1] = masks
        return padded.take(self.few, axis=1)

    @cached_property
    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """All cells, feature after feature, and Int[np.ndarray, "d + 1"], where each feature's begin."""
        cells = np.argsort(self.flat, kind="stable")
        return cells, np.searchsorted(self.flat[cells], np.arange(self.d + 1))

    def of_one(self, feature: int) -> np.ndarray:
        """Return the cells of a feature."""
        cells, ends = self.sorted
        return cells[ends[feature] : ends[feature + 1]]

    def of_each(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the cells of n features, one after the other, and which of the n each belongs to.

        None where every feature has one cell.
        """
        if self.few is None:
            return features, None
        cells, ends = self.sorted
        starts = ends[features]
        sizes = ends[features + 1] - starts
        which = np.repeat(np.arange(len(features)), sizes)
        offsets = starts - np.cumsum(sizes) + sizes
        return cells[np.arange(len(which)) + offsets[which]], which


@dataclass(frozen=True)
class Fill:
    """The rows that a hiding makes of masks. This is the definition; what is faster must agree with it.

    hiding : the input, its labels and the background. d : number of features.
    """

    hiding: Hiding
    d: int

    def __call__(self, masks: np.ndarray, piece: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return n masks x B rows per input name, mask after mask.

        Parameters
        ----------
        masks : Bool[np.ndarray, "n d"], True = kept. piece : which of the background rows.
        """
        return {name: self._one(name, masks, piece) for name in self.hiding.x}

    def _one(self, name: str, masks: np.ndarray, piece: slice) -> np.ndarray:
        array, kept = self.hiding.x[name], self.places[name].kept(masks)
        stretches = array.size // max(1, kept.shape[1])
        if name not in self._bits:
            cells = np.tile(kept, stretches).reshape(len(kept), 1, *array.shape)
            return np.where(cells, array, self.hiding.background[name][piece]).reshape(-1, *array.shape)
        # background ^ ((x ^ background) & kept): np.where's answer bit by bit, ten times faster
        hidden, differs = (bits[piece] for bits in self._bits[name])
        filled, copies = np.negative(kept.view(np.int8), dtype=hidden.dtype), len(hidden) * stretches
        if copies > 1:
            filled = np.repeat(filled[:, None], copies, axis=1).reshape(len(kept), -1)
        filled &= differs.reshape(-1)
        filled ^= hidden.reshape(-1)
        return filled.view(array.dtype).reshape(-1, *array.shape)

    @property
    def wide(self) -> bool:
        """Whether it pays to copy the rows of a mask and flip one feature in them."""
        return sum(array.size for array in self.hiding.background.values()) > WIDE

    def flip(self, base: Rows, mask: np.ndarray, features: np.ndarray, out: Rows) -> None:
        """Write the rows of masks that differ from another in one feature each.

        Parameters
        ----------
        base : the rows of that other, Bool[np.ndarray, "d"]. features : Int[np.ndarray, "n"]. out : per
            input name, room for n x B rows.
        """
        for name, rows in out.items():
            hidden = self.hiding.background[name].reshape(len(base[name]), -1)
            x, places = self.hiding.x[name].ravel(), self.places[name]
            each = rows.reshape(len(features), *hidden.shape)
            each[:] = base[name].reshape(hidden.shape)
            for some, feature in zip(each, features.tolist(), strict=True):
                cells = places.of_one(feature)
                for row, other in zip(some, hidden, strict=True):
                    row[cells] = (other if mask[feature] else x).take(cells)

    @cached_property
    def places(self) -> dict[str, Places]:
        """Which cells belong to which feature, per input name."""
        return {name: Places.of(self.hiding.labels[name], self.d) for name in self.hiding.x}

    @cached_property
    def _bits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Per input of numbers: the background rows, and where the input differs from them, as bits."""
        found = {}
        for name, array in self.hiding.x.items():
            if array.dtype.kind in "fiub":
                rows = _words(np.ascontiguousarray(self.hiding.background[name]))
                found[name] = (rows, rows ^ _words(np.ascontiguousarray(array)[None]))
        return found


def _words(rows: np.ndarray) -> np.ndarray:
    """Return rows of numbers as bits: Int[np.ndarray, "n cells"]."""
    return rows.reshape(len(rows), -1).view(f"i{rows.dtype.itemsize}")


@dataclass(frozen=True)
class FillMany:
    """The rows of many hidings in one go: inputs that share labels and have one background row each.

    hidden, differs : per input name the backgrounds as bits (a single row where all share it), and where the
    inputs differ from them: Int[np.ndarray, "games cells"]. like : the first input, for shapes and dtypes.
    places : per input name, which cells belong to which feature.
    """

    hidden: dict[str, np.ndarray]
    differs: dict[str, np.ndarray]
    like: dict[str, np.ndarray]
    places: dict[str, Places]

    @classmethod
    def of(cls, fills: Sequence[Fill]) -> FillMany | None:
        """Stack hidings; None where they do not share what they must, or are large (each is filled alone)."""
        first = fills[0]
        names = list(first.hiding.x)
        if sum(first.hiding.x[name].size for name in names) > LARGE:
            return None
        hidden, differs = {}, {}
        for name in names:
            labels, backgrounds = first.hiding.labels[name], [fill.hiding.background[name] for fill in fills]
            others = {id(fill.hiding.labels[name]): fill.hiding.labels[name] for fill in fills}
            if first.hiding.x[name].dtype.kind not in "fiub" or any(len(rows) != 1 for rows in backgrounds):
                return None
            if not all(other is labels or np.array_equal(other, labels) for other in others.values()):
                return None
            one = all(rows is backgrounds[0] for rows in backgrounds)
            hidden[name] = _words(np.concatenate(backgrounds[:1] if one else backgrounds))
            differs[name] = _words(np.stack([fill.hiding.x[name] for fill in fills])) ^ hidden[name]
        like = {name: np.asarray(first.hiding.x[name]) for name in names}
        return cls(hidden, differs, like, first.places)

    def __call__(self, masks: np.ndarray, owners: np.ndarray) -> dict[str, np.ndarray]:
        """Return one row per mask. owners : Int[np.ndarray, "n"], the hiding that each mask belongs to."""
        return {name: self._shaped(name, self._one(name, masks, owners)) for name in self.like}

    def flipped(
        self, bases: Rows, owners: np.ndarray, rows: np.ndarray, features: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return one row per mask, where masks differ from others in one feature each.

        Parameters
        ----------
        bases : the rows of the others. owners : Int[np.ndarray, "n"], the hiding that each mask belongs to.
            rows, features : Int[np.ndarray, "n"]: mask i is that of ``bases[rows[i]]`` with ``features[i]``
            flipped.
        """
        found = {}
        for name, differs in self.differs.items():
            width = differs.shape[1]
            filled = bases[name].view(differs.dtype).reshape(-1, width).take(rows, axis=0)
            cells, which = self.places[name].of_each(features)
            # places in flat arrays: NumPy takes half the time for one index
            spots = np.arange(0, filled.size, width) if which is None else which * width
            spots += cells
            sources = (owners if which is None else owners[which]) * width
            sources += cells
            filled.reshape(-1)[spots] ^= differs.take(sources)
            found[name] = self._shaped(name, filled)
        return found

    def _one(self, name: str, masks: np.ndarray, owners: np.ndarray) -> np.ndarray:
        # as Fill does it, with a product: one pass less than with a mask of bits
        filled, kept = self.differs[name].take(owners, axis=0), self.places[name].kept(masks)
        filled.reshape(len(kept), -1, kept.shape[1])[:] *= kept[:, None]
        hidden = self.hidden[name]
        filled ^= hidden if len(hidden) == 1 else hidden.take(owners, axis=0)
        return filled

    def _shaped(self, name: str, filled: np.ndarray) -> np.ndarray:
        like = self.like[name]
        return filled.view(like.dtype).reshape(-1, *like.shape)

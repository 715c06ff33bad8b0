"""Groups of things that lie close together: DBSCAN on a distance matrix, its two numbers by a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOISE = -1
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
SIZES = (3, 5, 10, 20)


@dataclass(frozen=True)
class Trial:
    """One setting of the scan. noise : share in no cluster. separation : mean silhouette, in [-1, 1]."""

    eps: float
    min_samples: int
    clusters: int
    noise: float
    separation: float

    @property
    def merit(self) -> float:
        """What the scan picks by: how well the clusters stand apart, times the share that is in one."""
        return self.separation * (1 - self.noise) if self.clusters > 1 else 0.0


@dataclass(frozen=True)
class Cluster:
    """One group. members, medoid : numbers of the things; the medoid lies closest to the others."""

    number: int
    members: tuple[int, ...]
    medoid: int


@dataclass(frozen=True)
class Clustering:
    """Which thing is in which group (-1 = in none), the setting used, and every setting tried."""

    labels: tuple[int, ...]
    clusters: tuple[Cluster, ...]
    chosen: Trial
    scan: tuple[Trial, ...]


def cluster(distances: np.ndarray, eps: float | None = None, min_samples: int | None = None) -> Clustering:
    """Group things by their distances.

    Parameters
    ----------
    distances : Float[np.ndarray, "n n"], symmetric. eps : two things closer than this are
        neighbours; min_samples : neighbours (itself included) that make a thing the core of a group.
        None = scanned: eps over quantiles of the distance to the min_samples-th neighbour,
        min_samples over 3, 5, 10 and 20 as far as a quarter of n; the setting with the largest
        silhouette times share outside the noise is taken.

    Returns
    -------
    Clusters are numbered from 0, largest first.

    References
    ----------
    Ester, Kriegel, Sander and Xu 1996 (DBSCAN); Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7.

    Examples
    --------
    >>> points = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 99.0])
    >>> found = cluster(np.abs(points[:, None] - points), eps=0.5, min_samples=3)
    >>> found.labels, found.chosen.noise.__round__(3), found.clusters[0].medoid
    ((0, 0, 0, 1, 1, 1, -1), 0.143, 1)
    """
    n = len(distances)
    sizes = (min_samples,) if min_samples is not None and n else _sizes(n)
    tried = {
        (e, size): _dbscan(distances, e, size)
        for size in sizes
        for e in ((eps,) if eps is not None else _radii(distances, size))
    }
    trials = {key: _trial(distances, labels, *key) for key, labels in tried.items()}
    if not trials:
        return Clustering((), (), Trial(eps or 0.0, min_samples or 1, 0, 0.0, 0.0), ())
    # ties, and the case of one cluster at the most: the least noise, then the smaller radius
    best = max(trials, key=lambda key: (trials[key].merit, -trials[key].noise, -key[0]))
    labels, clusters = _ordered(distances, tried[best])
    return Clustering(labels, clusters, trials[best], tuple(trials.values()))


def _sizes(n: int) -> tuple[int, ...]:
    return tuple(size for size in SIZES if size <= max(3, n // 4)) if n else ()


def _radii(distances: np.ndarray, size: int) -> list[float]:
    """Quantiles of the distance to the size-th nearest thing, itself included."""
    reach = np.sort(distances, axis=1)[:, min(size, len(distances)) - 1]
    found = np.quantile(reach, QUANTILES)
    # equal things have distance 0, and DBSCAN needs a radius above it
    return sorted({float(np.round(max(value, 1e-6), 6)) for value in found})


def _dbscan(distances: np.ndarray, eps: float, size: int) -> np.ndarray:
    from sklearn.cluster import DBSCAN

    return np.asarray(DBSCAN(eps=eps, min_samples=size, metric="precomputed").fit_predict(distances))


def _trial(distances: np.ndarray, labels: np.ndarray, eps: float, size: int) -> Trial:
    from sklearn.metrics import silhouette_score

    inside = labels != NOISE
    count = len(set(labels[inside].tolist()))
    separation = 0.0
    if 1 < count < inside.sum():
        within = distances[np.ix_(inside, inside)]
        separation = float(silhouette_score(within, labels[inside], metric="precomputed"))
    return Trial(eps, size, count, float(1 - inside.mean()), separation)


def _ordered(distances: np.ndarray, labels: np.ndarray) -> tuple[tuple[int, ...], tuple[Cluster, ...]]:
    """Number the clusters by size and find their medoids."""
    groups = [np.flatnonzero(labels == k) for k in sorted(set(labels.tolist()) - {NOISE})]
    groups.sort(key=lambda group: (-len(group), int(group[0])))
    renamed = np.full(len(labels), NOISE)
    clusters = []
    for number, group in enumerate(groups):
        renamed[group] = number
        medoid = int(group[distances[np.ix_(group, group)].sum(axis=1).argmin()])
        clusters.append(Cluster(number, tuple(group.tolist()), medoid))
    return tuple(renamed.tolist()), tuple(clusters)

"""Checks on what a decision may not rest on: protected features and their declared proxies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from blackbox.checks.finding import AUDIT, GATES, Context, Finding, Subject, attributions, judge
from blackbox.errors import RequestError, unknown
from blackbox.settings import choice, number, whole


@dataclass(frozen=True)
class Protected:
    """No protected feature and no declared proxy is among the ``top`` strongest, or among the reasons.

    Per method: the features with fewer than ``top`` others of a larger size, |value|; ties at the cut
    count as in. Per decision: the stated reasons. ``features`` : protected ones; ``proxies`` : features
    that stand in for them. Default top 4: so many reasons a notice states at the most. No pass.
    """

    name: ClassVar[str] = "protected"
    features: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    top: int = 4
    gate: str = "fail"

    def __post_init__(self) -> None:
        whole("top", self.top, 1)
        choice("gate", self.gate, GATES)
        if not self.features:
            raise RequestError("The check 'protected' needs the names of the protected features.")

    def examine(self, subject: Subject) -> list[Finding]:
        names = list(subject.case.features.names)
        for feature in (*self.features, *self.proxies):
            if feature not in names:
                raise unknown("feature in check protected:", feature, names)
        found = []
        for name, values in attributions(subject).items():
            size = np.abs(values)
            # ties at the cut count as in: nobody can say which of them is the stronger
            strongest = {n for n, v in zip(names, size, strict=True) if v > 0 and (size > v).sum() < self.top}
            where = f"among the {self.top} strongest"
            found.append(self._one(subject, f"{name}: ", self._there(strongest), where))
        if subject.reasons:
            there = self._there(set(subject.reasons))
            found.append(self._one(subject, "", there, "among the stated reasons"))
        return found

    def _there(self, names: set[str]) -> list[str]:
        real = [feature for feature in self.features if feature in names]
        return real + [f"{proxy} (a declared proxy)" for proxy in self.proxies if proxy in names]

    def _one(self, subject: Subject, what: str, there: list[str], where: str) -> Finding:
        sentence = (
            f"{what}{', '.join(there)} {'is' if len(there) == 1 else 'are'} {where}."
            if there
            else f"{what}no protected feature is {where}."
        )
        sentence = sentence[0].upper() + sentence[1:] if not what else sentence
        return judge(self, subject, not there, sentence, float(len(there)), 0.0)


@dataclass(frozen=True)
class ProtectedShare:
    """Over all decisions, protected features and proxies are rarely among the ``top`` strongest.

    Cases in which one of ``features`` or ``proxies`` is among the ``top`` features of largest |value| of
    ``method``, over the cases that it answered; at most ``most``. Default 0.05: one decision in twenty.
    Read from the finished records; no pass.
    """

    name: ClassVar[str] = "protected_share"
    features: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    method: str = "kernelshap"
    top: int = 4
    most: float = 0.05
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("top", self.top, 1)
        number("most", self.most, 0.0)
        choice("gate", self.gate, GATES)
        if not self.features:
            raise RequestError("The check 'protected_share' needs the names of the protected features.")

    def review(self, records: Iterable[Mapping[str, Any]], context: Context) -> list[Finding]:
        asked = there = 0
        for record in records:
            if record["kind"] != "explanation" or record["method"] != self.method:
                continue
            told = record["explanation"]
            size = np.abs(np.array(told["values"], dtype=float))
            if size.ndim != 1 or not np.isfinite(size).all():
                continue
            asked += 1
            places = [k for k, name in enumerate(told["feature_names"]) if name in self._named]
            there += any(size[k] > 0 and (size > size[k]).sum() < self.top for k in places)
        if not asked:
            return []
        share = there / asked
        sentence = (
            f"A protected feature or a proxy is among the {self.top} strongest of {self.method} in {there} "
            f"of {asked} decisions ({share:.1%})."
        )
        return [judge(self, AUDIT, share <= self.most, sentence, share, self.most)]

    @property
    def _named(self) -> frozenset[str]:
        return frozenset((*self.features, *self.proxies))

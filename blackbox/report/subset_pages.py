"""Two pages about sufficient subsets: what a model relies on in general, and two models side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.clusters import Cluster, Clustering
from blackbox.comparison import Comparison, Meeting
from blackbox.explanation import Explanation
from blackbox.mistakes import Mistake
from blackbox.profile import SisProfile
from blackbox.report import pictures
from blackbox.report.page import Picture
from blackbox.report.templating import fill
from blackbox.subsets import Subset, words

SHOWN = 8
"""Members of a cluster, features, sequences, inputs: shown up to here."""


@dataclass(frozen=True)
class Look:
    """How subsets are drawn: as pictures, or in words."""

    picture: bool
    labels: Mapping[str, str]

    def draw(self, case: Case, members: Sequence[int], caption: str) -> Picture | None:
        """Return the picture of a subset; None where there is none to draw."""
        if not self.picture:
            return None
        return Picture(pictures.data_uri(pictures.marked(case, members)), caption)

    def tell(self, case: Case, subset: Subset) -> str:
        """Return a subset in words."""
        return _count(subset.members) if self.picture else words(subset, case, self.labels)


def render_profile(
    profile: SisProfile, mistakes: Sequence[Mistake] = (), labels: Mapping[str, str] | None = None
) -> str:
    """Return the page about what a model relies on; everything that came from outside is escaped."""
    look = _look(profile, labels)
    sizes = [len(subset.members) for subset in profile.subsets]
    first = [e for e in profile.explanations if e is not None and e.details["subsets"]]
    context = _shared(profile, profile.clustering) | {
        "profile": profile,
        "sizes": _middle(sizes),
        "features": len(profile.cases[0].features),
        "proven": sum(e.details["certificates"][0]["minimal"] for e in first),
        "answered": len(first),
        "irreducible": sum(subset.irreducible is True for subset in profile.subsets),
        "clusters": [_group(profile, c, look) for c in profile.clustering.clusters],
        "mistakes": [_mistake(profile, m, look) for m in mistakes],
        "labelled": mistakes is not None,
    }
    return fill("profile.html", context)


def render_comparison(comparison: Comparison, labels: Mapping[str, str] | None = None) -> str:
    """Return the page about two models; everything that came from outside is escaped."""
    look = _look(comparison.a, labels)
    names = _names(comparison)
    context = _shared(comparison.a, comparison.clustering) | {
        "c": comparison,
        "names": names,
        "rows": comparison.a.rows + comparison.b.rows,
        "clusters": [_shared_group(comparison, k, look) for k in range(len(comparison.shares))],
        "sizes": [_middle([len(s.members) for s in p.subsets]) for p in (comparison.a, comparison.b)],
        "meetings": [_meeting(comparison, m, look) for m in comparison.meetings[:SHOWN]],
        "only": [sum((s.b, s.a)[k] == 0 for s in comparison.shares) for k in (0, 1)],
    }
    return fill("compare.html", context)


def _look(profile: SisProfile, labels: Mapping[str, str] | None) -> Look:
    return Look(profile.distance == "energy" and pictures.is_picture(profile.cases[0]), labels or {})


def _count(members: Sequence[int]) -> str:
    return f"{len(members)} feature{'' if len(members) == 1 else 's'}"


def _middle(sizes: Sequence[int]) -> str:
    return f"{np.median(sizes):g}" if sizes else "-"


def _shared(profile: SisProfile, clustering: Clustering) -> dict[str, Any]:
    from blackbox import __version__

    first: Explanation | None = next((e for e in profile.explanations if e is not None), None)
    thresholds = [e.details["threshold"] for e in profile.explanations if e is not None]
    targets = Counter(e.output_names[0] for e in profile.explanations if e is not None)
    return {
        "version": __version__,
        "method": profile.method,
        "threshold": _threshold(profile, thresholds),
        "scale": first.scale if first else "raw",
        "targets": sorted(targets),
        "background": profile.cases[0].background.rule,
        "rule": profile.cases[0].features.rule,
        "clustering": clustering,
        "distance": {"energy": "energy distance between pixel positions", "jaccard": "Jaccard distance",
                     "edit": "edit distance between sequences"}[profile.distance],
    }  # fmt: skip


def _threshold(profile: SisProfile, found: Sequence[float]) -> str:
    asked = profile.method.threshold
    if isinstance(asked, float):
        return f"{asked:g}"
    value = getattr(asked, "value", 0.9) if asked is None or hasattr(asked, "value") else None
    span = f"{min(found):.3g} to {max(found):.3g}" if found else "none"
    if value is None:
        return f"the {getattr(asked, 'level', 0):.0%} quantile of a reference set: {span}"
    return f"{value:.0%} of the way from the fully hidden to the full score: {span}"


def _group(profile: SisProfile, group: Cluster, look: Look) -> dict[str, Any]:
    """One cluster of one model: its medoid, how often each feature is in, and some members."""
    chosen = [profile.subsets[k] for k in group.members]
    medoid = profile.subsets[group.medoid]
    case = profile.cases[medoid.row]
    return {
        "number": group.number + 1,
        "size": len(chosen),
        "inputs": len({s.row for s in chosen}),
        "share": len(chosen) / len(profile.subsets),
        "targets": _targets(profile, chosen),
        "median": _middle([len(s.members) for s in chosen]),
        "score": float(np.mean([s.score for s in chosen])),
        "medoid": look.tell(case, medoid),
        "gallery": _gallery(profile, chosen, medoid, look),
        "often": [] if look.picture else _often(profile, chosen, look),
        "lines": _lines(profile, chosen) if profile.distance == "edit" else [],
    }


def _targets(profile: SisProfile, chosen: Sequence[Subset]) -> str:
    found = Counter(e.output_names[0] for s in chosen if (e := profile.explanations[s.row]) is not None)
    return ", ".join(f"{name} ({count})" for name, count in found.most_common(4))


def _gallery(profile: SisProfile, chosen: Sequence[Subset], medoid: Subset, look: Look) -> list[Picture]:
    if not look.picture:
        return []
    cases = [profile.cases[s.row] for s in chosen]
    often = pictures.frequency(cases, [s.members for s in chosen])
    found = [Picture(pictures.data_uri(often), "how often a pixel is in")]
    others = [s for s in chosen if s is not medoid][: SHOWN - 2]
    for subset, role in ((medoid, "medoid, "), *((s, "") for s in others)):
        drawn = look.draw(profile.cases[subset.row], subset.members, role + profile.ids[subset.row])
        found += [drawn] if drawn else []
    return found


def _often(profile: SisProfile, chosen: Sequence[Subset], look: Look) -> list[tuple[str, float]]:
    """The features most often in, with the share of the cluster's subsets that hold them."""
    if profile.distance == "edit":
        return []
    counts = Counter(profile.cases[s.row].features.names[k] for s in chosen for k in s.members)
    return [(look.labels.get(name, name), n / len(chosen)) for name, n in counts.most_common(SHOWN)]


def _lines(profile: SisProfile, chosen: Sequence[Subset]) -> list[tuple[str, int]]:
    counts = Counter(words(s, profile.cases[s.row]) for s in chosen)
    return counts.most_common(SHOWN)


def _mistake(profile: SisProfile, mistake: Mistake, look: Look) -> dict[str, Any]:
    case, e = profile.cases[mistake.row], mistake.wrong
    wrong = tuple(e.details["subsets"][0]) if e.details["subsets"] else ()
    score = e.details["subset_scores"][0] if wrong else float("nan")
    sides = []
    for name, members, reached in (
        (mistake.said, wrong, score), (mistake.truth, mistake.right, mistake.right_score),
    ):  # fmt: skip
        subset = Subset(mistake.row, 0, members, reached, None)
        sides.append(
            {"name": name, "members": members, "score": reached,
             "picture": look.draw(case, members, f"suffices for {name}: {_count(members)}"),
             "told": look.tell(case, subset) if members else "no set of features reaches it"}
        )  # fmt: skip
    whole = Picture(pictures.data_uri(pictures.original(case)), "input") if look.picture else None
    return {"id": profile.ids[mistake.row], "m": mistake, "sides": sides, "input": whole}


def _names(comparison: Comparison) -> tuple[str, str]:
    a, b = comparison.a.model, comparison.b.model
    return (a, b) if a != b else (f"A: {a}", f"B: {b}")


def _shared_group(comparison: Comparison, number: int, look: Look) -> dict[str, Any]:
    """One pooled cluster: its shares, its medoid, and a picture per model."""
    share, group = comparison.shares[number], comparison.clustering.clusters[number]
    split = len(comparison.a.subsets)
    gallery = []
    for name, mine in zip(_names(comparison), (True, False), strict=True):
        chosen = [k for k in group.members if (k < split) == mine]
        if look.picture and chosen:
            cases = [comparison.case_of(k) for k in chosen]
            often = pictures.frequency(cases, [comparison.subsets[k].members for k in chosen])
            gallery.append(Picture(pictures.data_uri(often), f"{name}, {len(chosen)} subsets"))
    medoid = comparison.subsets[share.medoid]
    drawn = look.draw(comparison.case_of(share.medoid), medoid.members, "medoid")
    return {
        "share": share,
        "size": share.a + share.b,
        "words": _verdict(comparison, share.of_a),
        "medoid": look.tell(comparison.case_of(share.medoid), medoid),
        "gallery": ([drawn] if drawn else []) + gallery,
    }


def _verdict(comparison: Comparison, of_a: float) -> str:
    a, b = _names(comparison)
    return f"{of_a:.0%} {a}" if of_a >= 0.5 else f"{1 - of_a:.0%} {b}"


def _meeting(comparison: Comparison, meeting: Meeting, look: Look) -> dict[str, Any]:
    """One input on which the models part: what each of them finds sufficient."""
    sides = []
    for profile, name in zip((comparison.a, comparison.b), _names(comparison), strict=True):
        e, case = profile.explanations[meeting.row], profile.cases[meeting.row]
        members = tuple(e.details["subsets"][0]) if e is not None and e.details["subsets"] else ()
        subset = Subset(meeting.row, 0, members, 0.0, None)
        told = look.tell(case, subset) if members else str(e.outcome if e else "no answer")
        caption = f"{name}: {len(members)} of {len(case.features)}" if members else f"{name}: none"
        sides.append({"name": name, "told": told, "picture": look.draw(case, members, caption)})
    case = comparison.a.cases[meeting.row]
    whole = Picture(pictures.data_uri(pictures.original(case)), "input") if look.picture else None
    return {"id": comparison.a.ids[meeting.row], "m": meeting, "sides": sides, "input": whole}

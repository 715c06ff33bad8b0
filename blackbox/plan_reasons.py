"""What a plan says about reasons: which, how many, in whose words, compared with whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, StrictInt, StrictStr

from blackbox.errors import RequestError, unknown
from blackbox.methods import METHODS
from blackbox.strict import Strict as _Strict


class ReferencePart(_Strict):
    """Whom an adverse decision is compared with, selected from data by rule.

    use : ``passing`` : the applicants at or slightly above the passing score, whose score for the favourable
    output is from ``passing`` to ``passing + within`` (the model is asked for every row's score); ``all`` :
    all applicants. path : read like the data; None = the data itself. most : rows kept at the most, drawn
    with the plan's seed.
    """

    use: Literal["passing", "all"] = "passing"
    path: str | None = None
    within: float = Field(default=0.1, gt=0)
    most: int = Field(default=100, ge=2)


class ReasonsPart(_Strict):
    """Principal reasons in words: from which method, and how many at the most.

    favourable : the output that an applicant wants, by name or number; with it, every decision gets the
    reasons that hurt, a statement on how sure they are, and a sentence; None = only the strongest in each
    direction. passing : the score from which a decision is favourable; None = 0.5 for the probability of one
    class of two. codes : CSV file with the columns ``feature``, ``code``, ``text`` and ``direction`` (the
    text is true when the value is ``low`` or ``high``, below or above the mean of those compared with, or
    in ``any`` case). excluded : feature or column -> why it is no reason. background : whom to compare
    with; None = the background of the audit.
    """

    method: str = "kernelshap"
    count: int = Field(default=4, ge=1)
    favourable: StrictInt | StrictStr | None = None
    passing: float | None = None
    codes: str | None = None
    excluded: dict[str, str] = Field(default={})
    background: ReferencePart | None = None


def check_reasons(part: ReasonsPart, asked: Iterable[str]) -> None:
    """Refuse what is said about reasons and cannot be done with the methods that are asked.

    Raises
    ------
    RequestError : a method that is not asked or values no features, or a key that needs ``favourable``.
    """
    if part.method not in asked:
        raise unknown("method in reasons (it must be one of the plan's):", part.method, asked)
    if part.favourable is None:
        for key in ("passing", "codes", "excluded", "background"):
            if getattr(part, key) not in (None, {}):
                raise RequestError(f"reasons: {key} needs favourable, the name of the output that is wanted.")
    elif METHODS[part.method].scale != "raw" or part.method == "sis":
        raise RequestError(
            f"reasons: {part.method} does not say by how much each feature lowered the score: with "
            "favourable, take a method that hides features and values each, such as kernelshap."
        )

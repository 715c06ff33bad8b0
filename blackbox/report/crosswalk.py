"""From the sections of a report to what rules ask for: what is covered, and what is not."""

from __future__ import annotations

from dataclasses import dataclass

CAUTION = (
    "This table is a reading aid made by the authors of the tool. It is evidence about a model, not legal "
    "advice: whether a duty applies and is met is for counsel and the supervisor to say."
)

SECTIONS = {
    "asked": "What was asked",
    "checks": "Checks",
    "reasons": "Reasons for adverse decisions",
    "cases": "Case by case",
    "read": "How to read this",
}
"""Anchor of a section -> its title."""

NO_REASONS = "This audit states no reasons for adverse decisions: its plan names no favourable output."


@dataclass(frozen=True)
class Provision:
    """One rule: what it asks for in short, where the report answers, what it covers and what it leaves open.

    reasons : what the section on reasons adds, where the audit has one.
    """

    source: str
    place: str
    asks: str
    sections: tuple[str, ...]
    covers: str
    leaves: str
    reasons: str = ""

    def told(self, with_reasons: bool) -> str:
        """Return what is covered in an audit with or without reasons for adverse decisions."""
        if not self.reasons:
            return self.covers
        return f"{self.covers} {self.reasons if with_reasons else NO_REASONS}".strip()

    def where(self, with_reasons: bool) -> list[tuple[str, str]]:
        """Return anchor and title of the sections that answer."""
        kept = (name for name in self.sections if with_reasons or name != "reasons")
        return [(name, SECTIONS[name]) for name in kept]


CROSSWALK = (
    Provision(
        "AI Act, Regulation (EU) 2024/1689", "Art. 13(3)(b)(iv), (b)(vii), (d), (f)",
        "Instructions that say how far outputs can be explained, how to interpret them, which "
        "measures help people to oversee the system, and how logs are kept.",
        ("checks", "cases", "read"),
        "Which methods explain this model, with their settings, intervals and abstentions; how far "
        "each can be trusted, by checks with thresholds; one record per decision that can be logged.",
        "The provider's instructions themselves: intended purpose, accuracy per group of persons, the "
        "oversight measures in place.",
    ),
    Provision(
        "AI Act, Regulation (EU) 2024/1689", "Art. 86",
        "To a person affected by a high-risk decision: a clear and meaningful account of the system's "
        "role in the procedure, and of the main elements of the decision.",
        ("reasons", "cases"),
        "The score, what it rested on for this case, and how sure that is.",
        "The system's role in the procedure: who decided, what else was weighed. Art. 86(3): other "
        "Union law that gives the same right goes first.",
        "The main elements in plain words, only those that hurt.",
    ),
    Provision(
        "AI Act, Regulation (EU) 2024/1689", "Annex IV, 2(b), 2(e), 2(g), 3",
        "Technical documentation: the logic, the means to interpret outputs, tests with metrics, logs "
        "and reports that are dated and signed, capabilities and limits.",
        ("asked", "checks", "cases"),
        "Test results with their metrics and thresholds, the records behind them, the digests of "
        "model and data; the bundle can be signed (blackbox sign) and says in run.json when it was "
        "made.",
        "Design choices, training data and development; the signature of those responsible, until "
        "somebody signs.",
    ),
    Provision(
        "GDPR, Regulation (EU) 2016/679", "Art. 15(1)(h), Art. 22",
        "Meaningful information on the logic involved: which personal data were used and how, so that "
        "the person can follow and contest it (CJEU C-203/22; C-634/21 on scores).",
        ("asked", "reasons", "cases"),
        "Every data item that the model used, its effect on this decision, and which few were enough.",
        "How a change of the data would have changed the decision: no method here finds such "
        "counterfactuals. Human intervention, the right to contest, and the balance with trade "
        "secrets.",
        "Its principal reasons in plain words.",
    ),
    Provision(
        "Consumer credit, Directive (EU) 2023/2225", "Art. 18 (applies from 20 November 2026)",
        "Where creditworthiness is assessed by automated means: a clear and comprehensible "
        "explanation of the assessment, with its logic and risks, and a human to turn to.",
        ("checks", "reasons", "cases"),
        "What the assessment of each applicant rested on; the model's known weaknesses, as far as the "
        "checks show them.",
        "Human intervention, the consumer's own view, the review of the assessment, and the data's "
        "origin.",
        "The reasons against the applicant, in order, with what is uncertain in them.",
    ),
    Provision(
        "Regulation B, 12 CFR part 1002", "1002.9(a)(2), (b)(2), comments 9(b)(2)-1 to -5",
        "The specific principal reasons for adverse action: factors that were actually scored, none "
        "of the principal ones left out, more than four unlikely to help.",
        ("asked", "reasons"),
        "The list of scored inputs and, with a code table, proof that each could become a reason "
        "(check omission).",
        "The rest of the notice (creditor, ECOA notice, agency, 30 days), judgemental parts of a "
        "system (comment -7), record retention. Whether Shapley values against applicants who just "
        "passed give results substantially similar to comment 5's methods: a model that is not "
        "additive has no score per factor, so only the rank correlation with a proxy is shown.",
        "Only what hurt, compared with applicants selected by comment 5's rule with its size and "
        "digest; what cannot be told apart at the cut; what was excluded by declaration.",
    ),
    Provision(
        "SR 26-2 / OCC Bulletin 2026-13 (formerly SR 11-7)", "validation and monitoring, vendor models",
        "Conceptual soundness, outcomes analysis, monitoring, effective challenge by somebody "
        "independent.",
        ("asked", "checks"),
        "An independent test of a vendor's model from its answers alone; several methods against each "
        "other; limits and abstentions; drift against an earlier audit (--baseline).",
        "Outcomes against what really happened, data quality, inventory and governance.",
    ),
    Provision(
        "NIST AI RMF 1.0", "MEASURE 2.8, 2.9",
        "Risks to transparency and accountability are examined; the model is explained, validated and "
        "documented, and its output interpreted in its context.",
        ("asked", "checks", "cases", "read"),
        "Explanations with their validation, in a folder that others can verify and replay.",
        "The context of use, and the organisation's own accountability.",
    ),
)  # fmt: skip

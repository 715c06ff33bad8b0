"""What every part of a plan has in common: unknown keys are errors, and nothing changes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of a plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

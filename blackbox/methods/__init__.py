"""The register of methods: a name, and the frozen dataclass of settings that plays the game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from blackbox.errors import unknown
from blackbox.explanation import Explanation
from blackbox.game import Game
from blackbox.methods.cafo import Cafo
from blackbox.methods.caso import Caso
from blackbox.methods.gradient_x_input import GradientXInput
from blackbox.methods.integrated_gradients import IntegratedGradients
from blackbox.methods.kernelshap import KernelShap
from blackbox.methods.lime import Lime
from blackbox.methods.occlusion import Occlusion
from blackbox.methods.rise import Rise
from blackbox.methods.saliency import Saliency
from blackbox.methods.sis import Sis
from blackbox.methods.smoothgrad import SmoothGrad
from blackbox.settings import parse


@runtime_checkable
class Method(Protocol):
    """Settings with one verb. ``scale`` is asked for when the caller names none."""

    name: ClassVar[str]
    scale: ClassVar[str]
    one_target: ClassVar[bool]

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game and return the record."""


METHODS: dict[str, type[Method]] = {
    "occlusion": Occlusion,
    "lime": Lime,
    "kernelshap": KernelShap,
    "rise": Rise,
    "sis": Sis,
    "cafo": Cafo,
    "caso": Caso,
    "saliency": Saliency,
    "gradient-x-input": GradientXInput,
    "smoothgrad": SmoothGrad,
    "integrated-gradients": IntegratedGradients,
}


def method(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Return a registered method with the given settings.

    Raises
    ------
    RequestError : unknown method or setting, or a value that does not fit.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return parse(METHODS[name], settings or {}, f"method {name}")

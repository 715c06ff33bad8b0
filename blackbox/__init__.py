"""blackbox: explain and audit models that cannot be opened, by forward passes alone."""

from blackbox.api import explain
from blackbox.backgrounds import Background
from blackbox.compare import compare
from blackbox.comparison import Comparison
from blackbox.errors import BlackboxError, ModelError, RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.features import Features
from blackbox.methods import METHODS, Method
from blackbox.methods.caso import Caso
from blackbox.methods.kernelshap import KernelShap
from blackbox.methods.lime import Lime
from blackbox.methods.occlusion import Occlusion
from blackbox.methods.sis import Sis
from blackbox.mistakes import Mistake, misclassified
from blackbox.model import Model, open_model
from blackbox.profile import SisProfile, sis_profile
from blackbox.threshold import Fraction, Quantile

__version__ = "0.1.0"

__all__ = [
    "METHODS", "Background", "BlackboxError", "Caso", "Comparison", "Explanation", "Features",
    "Fraction", "KernelShap", "Lime", "Method", "Mistake", "Model", "ModelError", "Occlusion",
    "Outcome", "Quantile", "RequestError", "Sis", "SisProfile", "compare", "explain",
    "misclassified", "open_model", "sis_profile",
]  # fmt: skip

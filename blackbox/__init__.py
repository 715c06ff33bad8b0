"""blackbox: explain and audit models that cannot be opened, by forward passes alone."""

from blackbox.api import explain, explain_many
from blackbox.backgrounds import Background
from blackbox.errors import BlackboxError, ModelError, RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.features import Features
from blackbox.interop import Stack, stack
from blackbox.methods import METHODS, Method
from blackbox.methods.caso import Caso
from blackbox.methods.kernelshap import KernelShap
from blackbox.methods.lime import Lime
from blackbox.methods.occlusion import Occlusion
from blackbox.methods.rise import Rise
from blackbox.methods.sis import Fraction, Sis
from blackbox.model import Model, open_model

__version__ = "0.1.0"

__all__ = [
    "METHODS", "Background", "BlackboxError", "Caso", "Explanation", "Features", "Fraction",
    "KernelShap", "Lime", "Method", "Model", "ModelError", "Occlusion", "Outcome", "RequestError",
    "Rise", "Sis", "Stack", "explain", "explain_many", "open_model", "stack",
]  # fmt: skip

"""blackbox: explain and audit models that cannot be opened, by forward passes alone."""

from blackbox.api import explain, explain_many
from blackbox.auditing import AuditResult, audit
from blackbox.backgrounds import Background
from blackbox.compare import compare
from blackbox.comparison import Comparison
from blackbox.errors import BlackboxError, EvidenceError, ModelError, RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.features import Features
from blackbox.impact import HessianImpact, hessian_impact
from blackbox.interop import Stack, stack
from blackbox.methods import METHODS, Method
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
from blackbox.mistakes import Mistake, misclassified
from blackbox.model import Model, open_model
from blackbox.profile import SisProfile, sis_profile
from blackbox.threshold import Fraction, Quantile

__version__ = "0.1.0"

__all__ = [
    "METHODS", "AuditResult", "Background", "BlackboxError", "Cafo", "Caso", "Comparison", "EvidenceError",
    "Explanation", "Features", "Fraction", "GradientXInput", "HessianImpact", "IntegratedGradients",
    "KernelShap", "Lime", "Method", "Mistake", "Model", "ModelError", "Occlusion", "Outcome", "Quantile",
    "RequestError", "Rise", "Saliency", "Sis", "SisProfile", "SmoothGrad", "Stack", "audit", "compare",
    "explain", "explain_many", "hessian_impact", "misclassified", "open_model", "sis_profile",
    "stack",
]  # fmt: skip

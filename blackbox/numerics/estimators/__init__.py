"""Estimators of Shapley values from complementary pairs: arrays in, values and covariances out."""

from blackbox.numerics.estimators.adjusted import MOST
from blackbox.numerics.estimators.choosing import from_pairs, second_order
from blackbox.numerics.estimators.estimate import Estimate, Pairs, efficient
from blackbox.numerics.estimators.even_kernel import pair_interactions
from blackbox.numerics.estimators.gaussian import odd_kernel
from blackbox.numerics.estimators.permutations import antithetic_permutations
from blackbox.numerics.estimators.regression import leverage_regression
from blackbox.numerics.estimators.shared import Operator, operator

__all__ = [
    "MOST",
    "Estimate",
    "Operator",
    "Pairs",
    "antithetic_permutations",
    "efficient",
    "from_pairs",
    "leverage_regression",
    "odd_kernel",
    "operator",
    "pair_interactions",
    "second_order",
]

"""Small matrices want one thread: pools of threads that wait for each other cost more than they compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@cache
def _libraries() -> Any:
    """Return a handle on the loaded BLAS libraries; NumPy and SciPy bring one each."""
    import scipy.linalg  # noqa: F401 - its library must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread(solve: Callable[P, T]) -> Callable[P, T]:
    """Let a solver of many small systems run on one BLAS thread, as the thread count was before it after it.

    Hundreds of products and inverses of a few hundred rows gain nothing from a second thread, and where
    other processes want the cores as well (a service, several workers) the waiting made a solve of 0.2 s
    take a minute. One thread also gives the same bits on machines with different numbers of cores.
    """

    @wraps(solve)
    def _alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _libraries().limit(limits=1, user_api="blas"):
            return solve(*args, **kwargs)

    return _alone

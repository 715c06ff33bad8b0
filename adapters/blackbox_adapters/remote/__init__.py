"""Models behind a URL: Open Inference Protocol v2, KServe v1 and MLflow's /invocations."""

from blackbox_adapters.remote.model import RemoteModel, open_remote
from blackbox_adapters.remote.options import RemoteOptions

__all__ = ["RemoteModel", "RemoteOptions", "open_remote"]

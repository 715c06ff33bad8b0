"""What may be set when a model behind a URL is opened."""

from __future__ import annotations

from dataclasses import dataclass

from blackbox.errors import RequestError
from blackbox.settings import choice, number, whole

KINDS = ("probabilities", "logits", "values")
PROTOCOLS = ("auto", "v1", "v2", "mlflow")
BINARY = ("auto", "always", "never")


@dataclass(frozen=True)
class RemoteOptions:
    """Settings of the remote adapter.

    output : the output to ask, or several separated by commas; None = the last floating-point one.
    select : part of it, such as ``[0,:,1]``; None = all. classes : names of its columns. kind : what it
        holds, ``probabilities``, ``logits`` or ``values``; None = observed.
    batch_size : rows of one pass, which travel in several requests; None = as many as fill those that may
        be under way. rows_per_request : at the most; None = by rule from the size of one row, fewer where the
        endpoint declares a limit or refuses. in_flight : requests under way at the same time.
    protocol : ``v2``, ``v1`` or ``mlflow``; auto = by the URL's path.
    binary : v2's binary tensors: auto = where the server announces ``binary_tensor_data``.
    input, shape, dtype : name, shape without the batch axis, and NumPy dtype of the one input; None = as
        the endpoint declares it, else ``input-0``, whatever is given, and float32.
    columns : names of the columns, for MLflow models that want a data frame; () = an array is sent.
    timeout : seconds for one request from its start to the last byte of its answer.
    retries : further attempts after a connection that failed, or an answer of 429 or 503.
    rate : requests per second at the most; None = as fast as they are answered.
    most_bytes : size of one answer at the most.
    token_env, token_file : environment variable or file that holds the token; None = no token.
    token_header : header that carries it; as ``Bearer TOKEN`` where it is ``Authorization``.
    public_only : refuse hosts with a private, local or otherwise special address. For services that
        are asked by third parties.
    """

    output: str | None = None
    select: str | None = None
    classes: tuple[str, ...] = ()
    kind: str | None = None
    batch_size: int | None = None
    rows_per_request: int | None = None
    in_flight: int = 4
    protocol: str = "auto"
    binary: str = "auto"
    input: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    columns: tuple[str, ...] = ()
    timeout: float = 60.0
    retries: int = 4
    rate: float | None = None
    most_bytes: int = 2**28
    token_env: str | None = None
    token_file: str | None = None
    token_header: str = "Authorization"
    public_only: bool = False

    def __post_init__(self) -> None:
        choice("protocol", self.protocol, PROTOCOLS)
        choice("binary", self.binary, BINARY)
        if self.kind is not None:
            choice("kind", self.kind, KINDS)
        for name in ("batch_size", "rows_per_request"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if self.rate is not None:
            number("rate", self.rate, 0, strict=True)
        whole("in_flight", self.in_flight, 1)
        whole("retries", self.retries, 0)
        whole("most_bytes", self.most_bytes, 1)
        number("timeout", self.timeout, 0, strict=True)
        if self.token_env is not None and self.token_file is not None:
            raise RequestError("Give the token by token_env or by token_file, not by both.")

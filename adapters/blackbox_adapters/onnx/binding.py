"""What stays where the model runs: arrays bound to a session once, so that only the rest travels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def placed(value: Any, device: str) -> Any:
    """Copy an array to a device; what lies there already is returned as it is."""
    if not isinstance(value, np.ndarray):
        return value
    import onnxruntime

    kind, _, number = device.partition(":")
    return onnxruntime.OrtValue.ortvalue_from_numpy(value, kind, int(number or 0))


@dataclass(frozen=True)
class Kept:
    """A session and the arrays that are the same in every pass.

    stays : arrays, or on a device the runtime's own values, which were copied there once.
    """

    session: Any
    stays: Mapping[str, Any]
    bound: bool

    @classmethod
    def of(
        cls, session: Any, stays: Mapping[str, np.ndarray], device: str, bound: bool | None = None
    ) -> Kept:
        """Copy the arrays to the device.

        Parameters
        ----------
        stays : arrays, or what ``placed`` made of them. device : ``cpu`` or ``cuda:N``. bound : bind them by
            the runtime; None = on a device, where it saves a copy per pass (on the CPU arrays are read in
            place either way).
        """
        if not (device != "cpu" if bound is None else bound):
            return cls(session, dict(stays), bound=False)
        return cls(session, {name: placed(value, device) for name, value in stays.items()}, bound=True)

    def run(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run one pass on what stays and what is new, and return the outputs as arrays."""
        if not self.bound:
            return list(self.session.run(list(outputs), {**self.stays, **feeds}))
        binding = self.session.io_binding()
        for name, value in self.stays.items():
            binding.bind_ortvalue_input(name, value)
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for name in outputs:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

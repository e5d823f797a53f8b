"""One NVIDIA GPU being asked: what it does not know is None, what fails is noted in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

# NVML's numbers for errors, fixed by its header: the library itself is out of order, whatever was asked.
UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, VERSION_MISMATCH = 1, 9, 12, 18
LIBRARY_BROKEN = {UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, VERSION_MISMATCH}
# Not a fault: this GPU or this driver has no such figure (not supported, no permission, not found,
# no such function, argument version, deprecated).
UNTOLD = {3, 4, 6, 13, 25, 26}
GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND = 15, 16, 28

Nvml = Any  # the binding is untyped; only calls by name are made


class Device:
    """One GPU, or one MIG part of it, by its handle; None where even the handle was refused."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        self.index = index
        self.is_silent = False
        self.errors: set[int] = set()
        self._nvml = nvml
        self._faults: list[str] = []
        self.handle = self._call(nvml.nvmlDeviceGetHandleByIndex, index)

    @property
    def fault(self) -> str:
        """What went wrong with this GPU, empty when nothing did."""
        return f"GPU {self.index}: {', '.join(dict.fromkeys(self._faults))}" if self._faults else ""

    def ask(self, question: str, *arguments: Any) -> Any:
        """NVML's answer about this GPU, None where there is none."""
        return self.ask_of(self.handle, question, *arguments)

    def ask_of(self, handle: Any, question: str, *arguments: Any) -> Any:
        """The same about another handle, that of a part of this GPU."""
        function = getattr(self._nvml, question, None)
        if handle is None or function is None:
            return None
        return self._call(function, handle, *arguments)

    def first(self, question: str, older: str, *arguments: Any) -> Any:
        """The answer to a question, or to the one that older drivers understand."""
        answer = self.ask(question, *arguments)
        return self.ask(older, *arguments) if answer is None else answer

    def memory(self, handle: Any) -> Any:
        """Total and used bytes of this GPU or a part; the first form counts what the driver keeps as used."""
        asked = "nvmlDeviceGetMemoryInfo"
        return self.ask_of(handle, asked, self._nvml.nvmlMemory_v2) or self.ask_of(handle, asked)

    def parts(self) -> Iterator[Any]:
        """The handles of the MIG devices that this GPU is divided into; none where it is not."""
        mode = self.ask("nvmlDeviceGetMigMode")
        if not mode or mode[0] != 1:
            return
        for index in range(self.ask("nvmlDeviceGetMaxMigDeviceCount") or 0):
            part = self.ask("nvmlDeviceGetMigDeviceHandleByIndex", index)
            if part is not None:
                yield part

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in LIBRARY_BROKEN:
                raise
            if error.value not in UNTOLD:
                self._faults.append(str(error))
                self.errors.add(error.value)
            return None


def text(value: str | bytes | None) -> str | None:
    """What NVML calls a string, which older bindings give as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

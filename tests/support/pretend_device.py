"""A device that is none: ``pretend`` holds CPU tensors and refuses to mix them with plain ones.

What a GPU would refuse fails here too, without a GPU; and each time that the host would wait for a
GPU is counted under the line of net2vec_pl that causes it. It is a backend of PyTorch in Python,
whose registration holds for the whole process: tests start :mod:`support.pretend_runs` instead of
importing this. The API is experimental; where PyTorch has none, those tests skip with a reason.
"""

import linecache
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.accelerators.registry import _AcceleratorRegistry
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.accelerators.accelerator import Accelerator
from pytorch_lightning.strategies import SingleDeviceStrategy, StrategyRegistry
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

import net2vec_pl

DEVICE = "pretend:0"
waits: Counter[str] = Counter()
_PACKAGE = str(Path(net2vec_pl.__file__).parent)
# What looks at values before it can go on: on CUDA the host waits for them.
_WAIT = {
    "_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "_unique2",
    "unique_dim", "unique_consecutive", "repeat_interleave",
}  # fmt: skip
_INDEX = {"index", "index_put", "index_put_", "_index_put_impl_"}
_FACTORIES = (
    "empty.memory_format", "empty_strided", "arange", "arange.start", "arange.start_step",
    "fft_fftfreq", "fft_rfftfreq",
)  # fmt: skip
_lib: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]


class Pretend(Tensor):
    """A tensor of the device, which holds a CPU tensor and runs all operations on that.

    Args:
        held: Its values, on the CPU.
    """

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "Pretend":
        made: Pretend = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(DEVICE),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation on what its arguments hold."""
        kwargs = dict(kwargs or {})
        if func is torch.ops.aten.matmul.out:
            return _matmul(*args, **kwargs)
        if (
            func._can_decompose()
            and (made := func.decompose(*args, **kwargs)) is not NotImplemented
        ):
            return made  # of operations that come here themselves
        name = func._schema.name.removeprefix("aten::")
        to_host = "device" in kwargs and torch.device(kwargs["device"] or DEVICE).type == "cpu"
        if name == "copy_":
            to_host = not isinstance(args[0], Pretend)
        elif name != "_to_copy":
            _refuse_mixture(func, args, kwargs)
        if _waits(name, to_host, args, kwargs):
            count_wait()
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        wrappers = {id(t.held): t for t in tree_leaves((args, kwargs)) if isinstance(t, Pretend)}
        made = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if name == "copy_":
            return args[0]
        return tree_map(lambda t: _wrapped(t, wrappers, to_host), made)

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(
            f"can't convert {DEVICE} device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def tolist(self) -> Any:
        count_wait()
        return self.held.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as a plain tensor: what is saved is loaded on the CPU."""
        count_wait()
        return self.held.detach().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretend({self.held})"


def count_wait() -> None:
    """Count a wait of the host under the innermost line of net2vec_pl."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    where = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else path.name
    line = linecache.getline(str(path), frame.f_lineno).strip()
    waits[f"{where}: {line}"] += 1


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Pretend) else value


def _wrapped(value: Any, wrappers: dict[int, Pretend], plain: bool) -> Any:
    """Return a result as the device gives it: what works in place gives back what it was given."""
    if not isinstance(value, Tensor) or plain:
        return value
    known = wrappers.get(id(value))
    if known is None:
        return Pretend(value)
    assert known.shape == value.shape, "this device cannot resize in place"
    return known


def _waits(name: str, to_host: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether CUDA lets the host wait in an operation."""
    if name in ("copy_", "_to_copy"):
        return to_host and any(isinstance(a, Pretend) for a in args)
    if name in _INDEX:  # one value under a mask is filled in without counting places
        fills = name != "index" and args[2].numel() == 1
        masks = [
            t for t in args[1] if isinstance(t, Pretend) and t.dtype in (torch.bool, torch.uint8)
        ]
        return bool(masks) and not fills
    return name in _WAIT and kwargs.get("output_size") is None


def _refuse_mixture(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise what CUDA raises where a plain tensor comes along; scalars and places may."""
    if func._schema.name.removeprefix("aten::") in _INDEX and isinstance(args[0], Pretend):
        args = (args[0], *args[2:])
    for value in tree_leaves((args, kwargs)):
        if isinstance(value, Tensor) and not isinstance(value, Pretend) and value.dim():
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{DEVICE} and cpu! (in {func})"
            )


class _Module:
    """What PyTorch asks of ``torch.pretend``."""

    is_initialized = is_available = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    manual_seed_all = staticmethod(lambda seed: None)
    get_rng_state = staticmethod(lambda device=DEVICE: torch.get_rng_state())
    set_rng_state = staticmethod(lambda state, device=DEVICE: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


class PretendAccelerator(Accelerator):
    """One such device, for Lightning."""

    def setup_device(self, device: torch.device) -> None:
        assert device.type == "pretend"

    def teardown(self) -> None: ...

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> int:
        return int(devices)

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device(DEVICE)]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "pretend"

    @classmethod
    def register_accelerators(cls, accelerator_registry: _AcceleratorRegistry) -> None:
        accelerator_registry.register("pretend", cls)


def register() -> None:
    """Make the device known to PyTorch and Lightning, for the rest of this process."""
    backend_registration._setup_privateuseone_for_python_backend(
        "pretend", backend_module=_Module()
    )
    torch.__future__.set_swap_module_params_on_conversion(True)
    for name in _FACTORIES:
        packet, _, overload = name.partition(".")
        made_by = getattr(getattr(torch.ops.aten, packet), overload or "default")
        _lib.impl(name, _factory(made_by), "PrivateUse1")
    _lib.impl("_copy_from", _copy_from, "PrivateUse1")
    _lib.impl("matmul.out", _matmul, "AutogradPrivateUse1")
    PretendAccelerator.register_accelerators(AcceleratorRegistry)
    StrategyRegistry.register("pretend_one", SingleDeviceStrategy, device=DEVICE)


def _factory(func: Any) -> Callable[..., Pretend]:
    return lambda *args, **kwargs: Pretend(func(*args, **kwargs | {"device": "cpu"}))


def _matmul(one: Tensor, other: Tensor, *, out: Tensor) -> Tensor:
    """Multiply first and copy then: PyTorch would look for overlaps in memory that is not there."""
    _refuse_mixture(torch.ops.aten.matmul.out, (one, other, out), {})
    return out.copy_(torch.matmul(one, other))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    if isinstance(source, Pretend) and not isinstance(target, Pretend):
        count_wait()
    _held(target).copy_(_held(source))
    return target

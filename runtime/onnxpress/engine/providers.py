"""What runs graphs: one row for each of ONNX Runtime's execution providers that onnxpress knows, and one for OpenVINO.

What an execution provider is stands here and nowhere else: nothing else is keyed by its name or by that of its devices.
To add one, add a row.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING

from onnxpress.errors import DeviceUnavailable, InputError, MissingDependency
from onnxpress.suggestions import did_you_mean

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class ProviderOption:
    """What may be said to an execution provider.

    Attributes:
        name: ONNX Runtime's.
        about: what it does, as one sentence for docs/usage.md.
        values: those it may have; empty: any number of bytes.
        usual: what it is here unless somebody says otherwise; None: ONNX Runtime's own default.
    """

    name: str
    about: str
    values: tuple[str, ...] = ("0", "1")
    usual: str | None = None

    def read(self, value: object) -> str:
        """A value as ONNX Runtime takes it: True is "1".

        Raises:
            InputError: it is none of `values`, or no number of bytes.
        """
        text = str(int(value)) if isinstance(value, bool) else str(value).strip()
        if not self.values:
            if text.isdecimal() and int(text) > 0:
                return text
            raise InputError(f"provider_options: {self.name}={value!r:.60} is no number of bytes.")
        if text in self.values:
            return text
        raise InputError(
            f"provider_options: {self.name}={value!r:.60} is not one of {', '.join(self.values)}."
            f"{did_you_mean(text, self.values)}"
        )


#: The option with which ONNX Runtime records the kernels of a run and plays them again.
GRAPH_CAPTURE = "enable_cuda_graph"


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider, and the devices that it runs on.

    Attributes:
        family: what its devices are called: "cuda" of "cuda:1".
        words: one of them, in a sentence.
        name: ONNX Runtime's.
        numbered: whether a machine may have several of its devices; if not, the device is called as the family is.
        own_memory: whether its devices have memory of their own. Arrays then travel there and back in every run, but
            buffers on the device stay.
        memory: ONNX Runtime's name for the kind of device that has this memory.
        budget_tokens: padded tokens in one batch. On a CPU a batch that outgrows the caches is slower per token, not
            faster; a GPU wants enough work to fill it.
        install: what a user does who lacks it.
        options: what may be said to it, for every device.
        threads: its own option for the number of threads, where it does not heed ONNX Runtime's.
        made_for: the family whose variants it runs, where that is another one's: what is made for processors.
        compiles: whether OpenVINO runs the graphs, which ONNX Runtime then never sees. Nothing can be bound there.
    """

    family: str
    words: str
    name: str
    numbered: bool
    own_memory: bool
    memory: str
    budget_tokens: int
    install: str
    options: tuple[ProviderOption, ...] = ()
    threads: str | None = None
    made_for: str | None = None
    compiles: bool = False

    @property
    def target(self) -> str:
        """The family of the variants that it runs, as manifests name it."""
        return self.made_for or self.family

    def chosen(self, options: Mapping[str, object]) -> dict[str, str]:
        """What somebody says to it, as ONNX Runtime takes it.

        Raises:
            InputError: there is no such option, or the value is none of its.
        """
        rows = {option.name: option for option in self.options}
        for name in options:
            if name not in rows:
                there_are = f"There are: {', '.join(rows)}." if rows else "It takes none."
                raise InputError(
                    f"provider_options: {self.family} has no option {name!r:.60}.{did_you_mean(str(name), rows)} "
                    f"{there_are}"
                )
        return {name: rows[name].read(value) for name, value in options.items()}

    def options_of(
        self, index: int, chosen: Mapping[str, str] = MappingProxyType({}), threads: int | None = None
    ) -> dict[str, str]:
        """The options for the device of this number. `chosen`: those that `chosen` made of somebody's; `threads`: of
        one run."""
        usual = {option.name: option.usual for option in self.options if option.usual is not None}
        if self.threads is not None and threads is not None:
            usual[self.threads] = str(threads)
        return {**({"device_id": str(index)} if self.numbered else {}), **usual, **chosen}


CPU = Provider(
    family="cpu",
    words="a processor",
    name="CPUExecutionProvider",
    numbered=False,
    own_memory=False,
    memory="cpu",
    budget_tokens=512,
    install="Install it: `pip install 'onnxpress[cpu]'`.",
)

CUDA = Provider(
    family="cuda",
    words="a GPU",
    name="CUDAExecutionProvider",
    numbered=True,
    own_memory=True,
    memory="cuda",
    budget_tokens=16_384,
    install="Install it: `pip uninstall onnxruntime`, then `pip install 'onnxpress[gpu]'`: the two exclude each other.",
    options=(
        ProviderOption(
            "arena_extend_strategy",
            # By default the arena doubles, and half of a card can stay unused.
            "memory is taken as asked for, or doubled each time, which is quicker while it grows.",
            ("kSameAsRequested", "kNextPowerOfTwo"),
            "kSameAsRequested",
        ),
        ProviderOption("gpu_mem_limit", "the most bytes that one graph takes from the device.", ()),
        ProviderOption(
            "cudnn_conv_algo_search",
            # By default cuDNN times every algorithm at every new shape, and texts and sounds have many shapes.
            "how cuDNN finds the algorithm of a convolution: by rule, or by trying all at every new shape.",
            ("HEURISTIC", "EXHAUSTIVE", "DEFAULT"),
            "HEURISTIC",
        ),
        ProviderOption("cudnn_conv_use_max_workspace", "whether cuDNN may take all the memory that it likes."),
        ProviderOption(
            "use_tf32",
            # TF32 keeps 10 bits of fp32's 23: an fp32 variant would give other answers than those that were verified.
            "products of fp32 numbers in 10 bits of precision: faster, and not what was verified.",
            usual="0",
        ),
        ProviderOption(
            GRAPH_CAPTURE,
            "steps that write a token are recorded once and played again; the variant has to have no branches.",
            usual="0",
        ),
    ),
)

OPENVINO = Provider(
    family="openvino",
    words="a processor through OpenVINO",
    name="OpenVINO",
    numbered=False,
    own_memory=False,
    memory="cpu",
    budget_tokens=512,
    install="Install it: `pip install openvino`.",
    options=(
        ProviderOption(
            "INFERENCE_PRECISION_HINT",
            # Otherwise some processors compute in bfloat16, which is not what was verified.
            "the numbers that it computes in: fp32 whatever the processor has, or bfloat16 where the processor has it.",
            ("f32", "bf16"),
            "f32",
        ),
    ),
    threads="INFERENCE_NUM_THREADS",
    made_for="cpu",
    compiles=True,
)

#: family -> its row. The first is the default.
PROVIDERS: Mapping[str, Provider] = MappingProxyType({row.family: row for row in (CPU, CUDA, OPENVINO)})


def parse_device(device: object) -> str:
    """The canonical name of a device: "cpu", "cuda:N" or "openvino".

    Args:
        device: a name, None (the default), or as in transformers: -1 (the CPU), or the number of a GPU.

    Raises:
        InputError: not the name of a device.
    """
    if device is None or device == -1:
        return CPU.family
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return f"{CUDA.family}:{device}"
    family, _, index = str(device).partition(":")
    row = PROVIDERS.get(family)
    if row is not None and (index == "" or index.isdecimal()):
        if row.numbered:
            return f"{family}:{int(index or 0)}"
        if int(index or 0) == 0:
            return family
    known = ", ".join(f'"{row.family}:N"' if row.numbered else f'"{row.family}"' for row in PROVIDERS.values())
    meant = "" if row is not None else did_you_mean(family, PROVIDERS)
    raise InputError(f"{device!r} is not a device. There are: {known}; N is 0 where it is left out.{meant}")


def provider_of(device: str) -> Provider:
    """The row of a device, named as `parse_device` names it."""
    return PROVIDERS[device.partition(":")[0]]


def index_of(device: str) -> int:
    """The number of a device, named as `parse_device` names it: 1 for "cuda:1", 0 for "cpu"."""
    return int(device.partition(":")[2] or 0)


def require_device(device: str) -> None:
    """Make sure that the installed ONNX Runtime can use a device, named as `parse_device` names it.

    Raises:
        DeviceUnavailable: it cannot.
        MissingDependency: onnxruntime is not installed.
    """
    row = provider_of(device)
    if row.compiles:
        if find_spec("openvino") is None:
            raise DeviceUnavailable(f'{device} was asked for. {row.install} Or pass device="{CPU.family}".')
    elif row.name not in import_onnxruntime().get_available_providers():
        raise DeviceUnavailable(
            f"{device} was asked for, but the installed ONNX Runtime cannot use it. {row.install} Or pass "
            f'device="{CPU.family}".'
        )


def is_here(device: str) -> bool:
    """Whether a device, named as `parse_device` names it, can be used."""
    try:
        require_device(device)
    except DeviceUnavailable:
        return False
    return True


def version_numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version, to compare it with others: (1, 31) of "1.31.1"."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def onnxruntime_version() -> tuple[int, ...]:
    """The installed ONNX Runtime's, as `version_numbers` has it, without importing it, which takes a tenth of a second
    that other work of a start can stand beside; () where it is not known."""
    module = sys.modules.get("onnxruntime")
    if module is not None and hasattr(module, "__version__"):
        return version_numbers(module.__version__)
    from importlib.metadata import PackageNotFoundError, version  # imports much, and few ask

    for name in ("onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version_numbers(version(name))
    return ()


def import_onnxruntime() -> ModuleType:
    """The onnxruntime module.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "ONNX Runtime is not installed: `pip install 'onnxpress[cpu]'`, or `pip install 'onnxpress[gpu]'` for CUDA."
        ) from error
    module: ModuleType = onnxruntime
    return module

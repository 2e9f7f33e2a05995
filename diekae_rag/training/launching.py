"""From how a run was launched to what runs it: devices, precision, and the engine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from diekae_rag.training.engines import REPLICATED, Engine
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["default_accelerator", "end_process", "leave_processes", "start_engine"]


def default_accelerator(**options: Any) -> Accelerator:
    """An ``Accelerator`` whose processes may leave some encoders without gradient.

    Args:
        **options: Given to ``Accelerator`` (``mixed_precision``, ``log_with``, ``cpu``, ...).

    Raises:
        ImportError: accelerate is not installed.
        ValueError: FSDP's first version was asked for.
    """
    try:
        from accelerate import Accelerator, PartialState
        from accelerate.utils import DistributedDataParallelKwargs
    except ImportError as error:
        raise ImportError(
            'accelerate is not installed; training needs it: pip install "diekae-rag[train]"'
        ) from error
    is_sharded, is_deepspeed = _is_set("ACCELERATE_USE_FSDP"), _is_set("ACCELERATE_USE_DEEPSPEED")
    if is_sharded:
        _check_version(os.environ.get("FSDP_VERSION", "1"))
        # Every process needs the base model; transformers may give it to the first one only.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    if is_deepspeed and options.get("cpu"):
        PartialState(cpu=True)  # an Accelerator told so itself would forget DeepSpeed
        options["cpu"] = False
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(kwargs_handlers=[unused], **options)
    if is_sharded and str(accelerator.distributed_type) == "DistributedType.MULTI_CPU":
        _shard_on_cpu(accelerator)
    return accelerator


def start_engine(objective: nn.Module, schedule: Schedule, accelerator: Accelerator) -> Engine:
    """What runs an objective where accelerate was launched so.

    Raises:
        ValueError: An engine that cannot train this.
    """
    kind = str(accelerator.distributed_type)
    if kind in REPLICATED:
        return Engine(objective, schedule, accelerator)
    if kind == "DistributedType.FSDP":
        _check_version(getattr(accelerator.state.fsdp_plugin, "fsdp_version", 1))
        from diekae_rag.training.sharding import ShardedEngine  # torch may lack torch.distributed

        return ShardedEngine(objective, schedule, accelerator)
    if kind == "DistributedType.DEEPSPEED":
        from diekae_rag.training.zero import ZeroEngine

        return ZeroEngine(objective, schedule, accelerator)
    raise ValueError(
        f"accelerate was launched with {kind}, and training runs on one process, on several, with "
        "FSDP (--use_fsdp --fsdp_version 2) and with DeepSpeed (--use_deepspeed --zero_stage 2)."
    )


def leave_processes() -> None:
    """Parts this process from the others, for when it ends: their threads may not outlive it."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end_process() -> None:
    """Ends this process well at once, if it is one of several and everything is done.

    Threads of gloo that are left when the interpreter takes itself down abort it now and then
    (torch 2.13), and whoever launched it would take the run for failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _is_set(name: str) -> bool:
    """Whether ``accelerate launch`` set a variable of the environment to true."""
    return os.environ.get(name, "false").lower() == "true"


def _check_version(version: str | int) -> None:
    """Refuses FSDP's first version, whose flat parameters are laid out otherwise.

    Raises:
        ValueError: It is not the second.
    """
    if str(version) != "2":
        raise ValueError(
            f"FSDP version {version} was asked for, and training shards by version 2 "
            "(fully_shard) alone: accelerate launch --use_fsdp --fsdp_version 2 ..."
        )


def _shard_on_cpu(accelerator: Accelerator) -> None:
    """Shards on CPUs too, where accelerate by itself replicates without a word."""
    from accelerate import DistributedType, PartialState
    from accelerate.utils import FullyShardedDataParallelPlugin

    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    PartialState().distributed_type = DistributedType.FSDP
    accelerator.state.distributed_type = DistributedType.FSDP

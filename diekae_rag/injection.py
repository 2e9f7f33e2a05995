"""The only file that touches the base model: hooks that add the encoders' deltas.

Axes: B rows of a pass, R rows that knowledge was set for, T positions of a pass, L the length of
the padded prompt, S cached and present positions, D width of the base model.

A delta belongs to a *slot*, the position in the cache, and never to "the first pass": chunked
prefill, prompt lookup and passes without a cache then need no case of their own.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, StaticLayer

from diekae_rag.encoders import Encoders
from diekae_rag.families import check_family, decoder_layers, input_embeddings, probe
from diekae_rag.states.knowledge import Knowledge, KnowledgeApart

__all__ = ["Injection"]


class EncoderDynamicLayer(DynamicLayer):
    """A growing cache layer that holds what a block of an injection's encoders has read."""

    owner = ""


class EncoderStaticLayer(StaticLayer):
    """A cache layer of fixed size that holds what a block of an injection's encoders has read."""

    owner = ""


@dataclass(slots=True)
class _Call:
    """What one thread injects during one call of the base model's ``generate`` or ``forward``."""

    knowledge: Knowledge | KnowledgeApart
    prompt_mask: Tensor
    expanded: Knowledge | KnowledgeApart
    deltas: dict[int, Tensor] = field(default_factory=dict)


class Injection:
    """Adds encoders' deltas to a frozen base model while a call is open, and only then.

    Attached once, at construction; outside ``call`` the base model's outputs are bit-identical to
    those of the model without hooks. Each thread has its own call. Several sets of encoders can be
    attached to one base model: what they add adds up, and each reads on in layers of its own in the
    base model's cache.

    Args:
        base: A decoder of a family that passes ``check_family`` and ``probe``.
        encoders: Encoders trained for it.

    Raises:
        ValueError: The base model's family, width or depth does not fit.
    """

    def __init__(self, base: PreTrainedModel, encoders: Encoders) -> None:
        config = encoders.config
        check_family(base, config)
        self.base, self.encoders = base, encoders
        self.decoder: nn.Module = base.get_decoder()
        self.layers = decoder_layers(base)
        self._local = threading.local()
        self._name = uuid.uuid4().hex
        self._handles = [
            self.decoder.register_forward_pre_hook(self._before_pass, with_kwargs=True),
            self.decoder.register_forward_hook(self._after_pass, always_call=True),
        ]
        for layer in config.layers:
            module = self.layers[layer]
            site = module.get_submodule("mlp") if config.site == "mlp" else module
            self._handles.append(site.register_forward_hook(self._adding(layer)))
        try:
            probe(base, config, self.adding)
        except BaseException:
            self.detach()
            raise

    @property
    def is_attached(self) -> bool:
        """True until ``detach``."""
        return bool(self._handles)

    def detach(self) -> None:
        """Removes every hook: the base model is as it was before."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @contextmanager
    def call(self, knowledge: Knowledge | KnowledgeApart, prompt_mask: Tensor) -> Iterator[None]:
        """Injects in this thread until the block ends, also by an exception.

        Args:
            knowledge: What each of the ``R`` rows attends to; a row without any stays untouched
                unless the encoders hold their knowledge in their weights.
            prompt_mask: ``[R, L]`` bool over the padded prompt that the base model reads, true at
                the tokens the encoder reads too. Deltas land only there and, with
                ``positions="all"``, at every later slot.

        Raises:
            RuntimeError: The hooks are detached, or this thread has a call open already.
            ValueError: The mask has other rows than the knowledge.
        """
        self._check_free()
        if prompt_mask.shape[0] != knowledge.mask.shape[0]:
            raise ValueError(
                f"prompt_mask has {prompt_mask.shape[0]} rows and the knowledge "
                f"{knowledge.mask.shape[0]}; they must be of the same prompts."
            )
        self._local.call = _Call(knowledge, prompt_mask.bool(), knowledge)
        try:
            yield
        finally:
            self._local.call = None

    @contextmanager
    def adding(self, deltas: Mapping[int, Tensor]) -> Iterator[None]:
        """Adds given deltas in this thread until the block ends: for training and for probing.

        Args:
            deltas: For each layer, ``[B, T, D]``, just as the base model is going to be called.

        Raises:
            RuntimeError: The hooks are detached, or this thread has a call open.
        """
        self._check_free()
        self._local.given = dict(deltas)
        try:
            yield
        finally:
            self._local.given = None

    def _check_free(self) -> None:
        if not self.is_attached:
            raise RuntimeError("the encoders are detached; build a new DiekaeModel to inject.")
        if getattr(self._local, "call", None) is not None:
            raise RuntimeError("this thread is injecting already; calls cannot be nested.")

    def _adding(self, layer: int) -> Any:
        """A hook that adds this layer's delta, as a new tensor."""

        def add(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            call: _Call | None = getattr(self._local, "call", None)
            deltas = call.deltas if call else getattr(self._local, "given", None)
            if not deltas or layer not in deltas:
                return None
            if isinstance(output, tuple):
                return (output[0] + deltas[layer].to(output[0]), *output[1:])
            return output + deltas[layer].to(output)

        return add

    def _after_pass(self, *_: Any) -> None:
        if (call := getattr(self._local, "call", None)) is not None:
            call.deltas = {}

    def _before_pass(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Runs the encoders over what the base model is about to read."""
        call: _Call | None = getattr(self._local, "call", None)
        if call is None:
            return
        embeddings = kwargs.get("inputs_embeds")
        if embeddings is None:
            ids = kwargs.get("input_ids", args[0] if args else None)
            embeddings = input_embeddings(self.base)(ids)
        cache = kwargs.get("cache", kwargs.get("past_key_values"))  # its old name
        batch_size, length = embeddings.shape[:2]
        if call.expanded.mask.shape[0] != batch_size:
            call.expanded = call.knowledge.expand(batch_size)
        start = 0 if cache is None else int(cache.get_seq_length())
        prompt_mask = call.prompt_mask
        if (repeats := batch_size // prompt_mask.shape[0]) > 1:
            prompt_mask = prompt_mask.repeat_interleave(repeats, 0)
        prompt_length = prompt_mask.shape[1]
        if self.encoders.config.positions == "prompt":
            length = min(length, prompt_length - start)
        first_layer = self._own_layers(cache, start, is_reading=length > 0)
        if length <= 0:
            return  # every later slot is without a delta
        mask, positions, width = _visibility(
            prompt_mask, call.expanded.starts, start, length, _capacity(cache)
        )
        if not torch.is_grad_enabled():
            call.expanded = call.expanded.with_room(mask.shape[2])
        device = self.encoders.device
        deltas = self.encoders(
            embeddings[:, :length].detach().to(device, self.encoders.dtype),
            mask.to(device),
            positions.to(device),
            call.expanded,
            cache,
            first_layer,
        )
        read = torch.cat([prompt_mask, prompt_mask.new_ones(batch_size, width)], 1)
        here = read[:, start : start + length]
        if self.encoders.config.knowledge_in == "passages":
            here = here & call.expanded.is_present.to(read.device)[:, None]
        call.deltas = {
            layer: _only_at(here.to(device), delta, embeddings.shape[1])
            for layer, delta in deltas.items()
        }

    def _own_layers(self, cache: Any, start: int, is_reading: bool) -> int:
        """Where our blocks live in the base model's cache; puts them there at the first pass."""
        depth = len(self.layers)
        if cache is None:
            return depth
        if not isinstance(cache, Cache):
            raise RuntimeError(
                f"cannot inject beside a cache of type {type(cache).__name__}; "
                "use transformers' dynamic or static cache."
            )
        own = [n for n, layer in enumerate(cache.layers) if _owner(layer) == self._name]
        if not own:
            if start:
                raise RuntimeError(
                    "this cache was filled without knowledge; injecting now would leave the "
                    "encoders without the start of the prompt. Begin with an empty cache."
                )
            while len(cache.layers) < depth:
                cache.layers.append(DynamicLayer())
            size = _capacity(cache)
            for _ in range(self.encoders.config.num_hidden_layers):
                layer = EncoderStaticLayer(size) if size else EncoderDynamicLayer()  # type: ignore[no-untyped-call]
                layer.owner = self._name
                own.append(len(cache.layers))
                cache.layers.append(layer)
        elif is_reading and (read := int(cache.get_seq_length(own[-1]))) != start:
            raise RuntimeError(
                f"the encoders have read {read} tokens of this "
                f"cache and the base model {start}; start again with an empty cache."
            )
        return own[0]


def _owner(layer: Any) -> str:
    """Whose a cache layer is: an injection's, or ``""`` for the base model's."""
    own = isinstance(layer, EncoderDynamicLayer | EncoderStaticLayer)
    return layer.owner if own else ""


def _capacity(cache: Any) -> int:
    """Slots of a cache of fixed size; 0 for one that grows.

    Raises:
        RuntimeError: A cache of another kind (quantized, offloaded), where keeping in step with
            the base model is not certain.
    """
    if cache is None or not cache.layers:
        return 0
    if getattr(cache, "offloading", False) or any(
        "Quant" in type(x).__name__ for x in cache.layers
    ):
        raise RuntimeError("quantized and offloaded caches cannot be used with injection.")
    whole = [x for x in cache.layers if isinstance(x, StaticLayer) and not x.is_sliding]
    return max((int(layer.get_max_length()) for layer in whole), default=0)


def _visibility(
    prompt_mask: Tensor, starts: Tensor, start: int, length: int, capacity: int
) -> tuple[Tensor, Tensor, int]:
    """Which slots each token of a pass sees, its position, and how many slots follow the prompt.

    Returns:
        ``[B, T, S]`` bool, ``[B, T]`` long, and the number of slots after the prompt.
    """
    batch_size, prompt_length = prompt_mask.shape
    device = prompt_mask.device
    width = capacity or start + length
    tail = max(0, width - prompt_length)
    read = torch.cat([prompt_mask, prompt_mask.new_ones(batch_size, tail)], 1)[:, :width]
    slots = torch.arange(width, device=device)
    queries = slots[start : start + length]
    causal = slots[None, :] <= queries[:, None]
    itself = slots[None, :] == queries[:, None]  # padding sees itself: no empty softmax
    mask = (causal[None] & read[:, None, :]) | itself[None]
    count = read.long().cumsum(1) - 1
    positions = count[:, start : start + length].clamp(min=0) + starts.to(device)[:, None]
    return mask, positions, tail


def _only_at(here: Tensor, delta: Tensor, length: int) -> Tensor:
    """Zero outside ``here``, and up to ``length`` positions long."""
    delta = torch.where(here[..., None], delta, torch.zeros_like(delta))
    return nn.functional.pad(delta, (0, 0, 0, length - delta.shape[1]))

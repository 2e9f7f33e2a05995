"""Forms to be filled (``output_cls``): the host words these prompts past the seam."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.bridge.pydantic import BaseModel, SerializeAsAny
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptTemplate
from llama_index.core.types import Model
from llama_index.llms.diekae.calls import loud_errors
from llama_index.llms.diekae.knowledge import attached_documents, read_documents
from llama_index.llms.diekae.seam import RoutingLLM
from llama_index.llms.diekae.wording import without_documents

from diekae_rag import DiekaeError

__all__ = ["FormFillingLLM", "RoutingStructuredLLM"]


class FormFillingLLM(RoutingLLM):
    """A ``RoutingLLM`` whose structured predictions keep context out of the prompt too.

    An answer that is not the form asked for is a ``DiekaeError``: of any other error, query
    engines make an empty response.
    """

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Fills ``output_cls``; context goes to the encoders here too."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        with loud_errors():
            filled = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        return cast("Model", filled)

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """``structured_predict``, with the event loop free."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        with loud_errors():
            filled = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        return cast("Model", filled)

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        """``structured_predict`` as it comes: the form with what is filled in so far."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        form: Any = None
        with loud_errors():
            for form in super().stream_structured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            ):
                yield form
        _check_filled(form, output_cls)

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """``stream_structured_predict``, with the event loop free."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        forms = await super().astream_structured_predict(
            output_cls, prompt, llm_kwargs, **prompt_args
        )

        async def checked() -> AsyncGenerator[Model | FlexibleModel, None]:
            form: Any = None
            with loud_errors():
                async for form in forms:
                    yield form
            _check_filled(form, output_cls)

        return checked()

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """This model, with every answer an ``output_cls``."""
        return RoutingStructuredLLM(llm=self, output_cls=output_cls, **kwargs)

    @loud_errors()
    def _structured(
        self, prompt: Any, llm_kwargs: dict[str, Any] | None, prompt_args: dict[str, Any]
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        llm_kwargs = llm_kwargs or {}
        documents = read_documents(llm_kwargs.get("documents"))
        if (route := self.find_route(prompt, prompt_args)) is not None:
            prompt, prompt_args = route.prompt, route.variables
            documents += route.documents
        if isinstance(prompt, ChatPromptTemplate):
            messages = prompt.message_templates
            documents += attached_documents(messages)
            bare = [without_documents(message) for message in messages]
            prompt = prompt.model_copy(update={"message_templates": bare})
        return prompt, {**llm_kwargs, "documents": documents}, prompt_args


class RoutingStructuredLLM(StructuredLLM):
    """A ``StructuredLLM`` around a model that routes, so that its prompts are routed as well."""

    llm: SerializeAsAny[FormFillingLLM]

    @property
    def metadata(self) -> LLMMetadata:
        """The model's, with messages as what is asked for: they can carry documents."""
        return self.llm.metadata.model_copy(update={"is_chat_model": True})

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        return self.llm.route_messages(super()._get_messages, prompt, prompt_args)


def _check_filled(form: Any, output_cls: type[BaseModel]) -> None:
    if not isinstance(form, output_cls):
        raise DiekaeError(
            f"the answer could not be parsed as the JSON of {output_cls.__name__}; ask for a "
            "simpler form, or raise max_new_tokens."
        )

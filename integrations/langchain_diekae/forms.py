"""Forms to be filled: the prompt asks for JSON of a schema, and the answer is read as such."""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from diekae_rag.dialogue import Dialogue
from langchain_diekae.chat_calls import ChatWithDocuments
from langchain_diekae.form_parsers import FormParser, PydanticFormParser

__all__ = ["FormFillingChat"]


class FormFillingChat(ChatWithDocuments, ABC):
    """A chat model that is asked for JSON; nothing but the prompt makes it say any.

    Args:
        json_schema: What answers are asked to be JSON of. ``with_structured_output`` sets it.
    """

    json_schema: dict[str, Any] | None = None

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "json_mode", "function_calling"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model with every answer read as a form; calls take documents as ever.

        How well that works is up to the base model: the one that ships knows no JSON.

        Args:
            schema: A pydantic class, whose objects come back; or a ``TypedDict`` or JSON schema,
                for a mapping.
            method: ``"json_schema"``: the prompt's last turn asks for JSON of the schema;
                ``"json_mode"``: your prompt asks for it, in words of its own.
            include_raw: Whether to give a mapping with ``raw`` (the message), ``parsed`` and
                ``parsing_error``, and raise no error where an answer is no form.
            strict: Nothing can promise that an answer is a form: ``True`` is refused.
            **kwargs: There are no others.

        Raises:
            NotImplementedError: ``method="function_calling"``, or ``strict=True``.
            ValueError: Another method, no schema, or something that is none.
            TypeError: An argument that does not exist.
            OutputParserException: In a call, an answer that is no such form.
        """
        if kwargs:
            raise TypeError(
                f"unknown argument(s) {sorted(kwargs)}; bind options and documents to what this "
                "gives (langchain-core loses what was bound before), or pass them to the call."
            )
        if method == "function_calling" or strict:
            wanted = f"method={method!r}" if method == "function_calling" else "strict=True"
            raise NotImplementedError(
                f"{wanted} needs a model that calls tools or is held to a schema while it answers; "
                "this one can only be asked: take method='json_schema', or 'json_mode' where your "
                "prompt asks by itself."
            )
        if method not in ("json_schema", "json_mode"):
            raise ValueError(f"method must be json_schema or json_mode, got {method!r}.")
        if schema is None and method == "json_schema":
            raise ValueError("schema is missing: pass a class or a JSON schema.")
        described = _describe(schema)
        asking: dict[str, Any] = {"json_schema": described} if method == "json_schema" else {}
        if schema is not None:
            about = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
            asking["ls_structured_output_format"] = about
        parser: JsonOutputParser
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = PydanticFormParser(pydantic_object=schema)
        else:
            is_object = schema is not None and described.get("type", "object") == "object"
            parser = FormParser(required=described.get("required", []) if is_object else None)
        model = self.bind(**asking)
        return model | (RunnableLambda(_beside_raw(parser), name="form") if include_raw else parser)

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: str | None = None,
        response_format: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Refuses tools; what an agent asks of its answers (``response_format``) is asked for.

        Raises:
            NotImplementedError: There are tools, or the format must be kept strictly.
            ValueError: A format that is no JSON schema.
        """
        asked = dict((response_format or {}).get("json_schema") or {})
        if tools or asked.get("strict"):
            raise NotImplementedError(
                "this model calls no tools and is held to no schema. Let DiekaeMiddleware search "
                "before each of its calls, or a model that calls tools search for it; for forms, "
                "response_format=ProviderStrategy(schema)."
            )
        if response_format is not None and "schema" not in asked:
            raise ValueError(f"response_format must hold a JSON schema, got {response_format!r}.")
        return self.bind(**kwargs, **({"json_schema": asked["schema"]} if asked else {}))

    def _ask_for_form(self, dialogue: Dialogue) -> None:
        """Lets the last turn end in a request for JSON, where a schema is set."""
        if self.json_schema is not None:
            role, said = dialogue.turns[-1]
            schema = json.dumps(self.json_schema, ensure_ascii=False)
            dialogue.turns[-1] = (role, f"{said}\nAnswer with JSON of this schema only:\n{schema}")


def _beside_raw(parser: JsonOutputParser) -> Any:
    def read(message: BaseMessage) -> dict[str, Any]:
        form, error = None, None
        try:
            form = parser.invoke(message)
        except OutputParserException as raised:
            error = raised
        return {"raw": message, "parsed": form, "parsing_error": error}

    return read


def _describe(schema: dict[str, Any] | type | None) -> dict[str, Any]:
    """A JSON schema as it is: langchain-core keeps of one what a function's arguments can be."""
    if schema is None or (isinstance(schema, dict) and "title" in schema):
        return schema or {}
    return convert_to_json_schema(schema)

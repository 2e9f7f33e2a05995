"""What reads an answer as a form: whole JSON, or an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import Generation
from langchain_core.utils.json import parse_json_markdown

__all__ = ["FormParser", "PydanticFormParser"]


class FormParser(JsonOutputParser):
    """Reads whole JSON only: of an answer that was cut off, langchain-core makes up the end.

    A stream of forms, too, ends in an error where the answer was none.

    Args:
        required: Keys that must be there; ``None`` where the answer need not be an object.

    Raises:
        OutputParserException: The answer is no such JSON.

    Example:
        >>> FormParser(required=["town"]).parse('Well: ```json {"town": "Turin"}```')
        {'town': 'Turin'}
    """

    required: list[str] | None = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The JSON in an answer; with ``partial``, as much of it as has come."""
        if partial:
            return super().parse_result(result, partial=True)
        text = result[0].text
        try:
            form = parse_json_markdown(text, parser=_read_whole)
        except json.JSONDecodeError as error:
            raise _no_form("is no JSON, or was cut off", text) from error
        if self.required is not None and not isinstance(form, dict):
            raise _no_form("is no JSON object", text)
        if missing := [key for key in self.required or () if key not in form]:
            raise _no_form(f"has no {', '.join(missing)}", text)
        return form

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        heard: list[str] = []

        def listen() -> Iterator[str | BaseMessage]:
            for piece in input:
                heard.append(_text(piece))
                yield piece

        yield from super()._transform(listen())
        self.parse("".join(heard))

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        heard: list[str] = []

        async def listen() -> AsyncIterator[str | BaseMessage]:
            async for piece in input:
                heard.append(_text(piece))
                yield piece

        async for form in super()._atransform(listen()):
            yield form
        self.parse("".join(heard))


class PydanticFormParser(PydanticOutputParser[Any], FormParser):
    """As ``FormParser``; the form is an object of ``pydantic_object``, which checks it."""


def _read_whole(text: str) -> Any:
    return json.JSONDecoder(strict=False).raw_decode(text)[0]


def _text(piece: str | BaseMessage) -> str:
    return piece if isinstance(piece, str) else str(piece.text)


def _no_form(what: str, text: str) -> OutputParserException:
    return OutputParserException(
        f"the answer {what}: {text[:200]!r}. Ask for a simpler form, or raise max_new_tokens.",
        llm_output=text,
    )

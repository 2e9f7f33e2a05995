"""LlamaIndex's metadata filters as conditions of an index."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from diekae_rag.index.conditions import AllOf, AnyOf, Filter, FromDocument, NoneOf, Where, WithId

__all__ = ["read_filters"]

_OPERATORS = {
    FilterOperator.EQ: "==",
    FilterOperator.NE: "!=",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "not in",
    FilterOperator.CONTAINS: "contains",
    FilterOperator.ANY: "contains any",
    FilterOperator.ALL: "contains all",
    FilterOperator.TEXT_MATCH: "matches text",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "matches text in any case",
    FilterOperator.IS_EMPTY: "is empty",
}
_JOINS: dict[FilterCondition, type[AllOf | AnyOf | NoneOf]] = {
    FilterCondition.AND: AllOf,
    FilterCondition.OR: AnyOf,
    FilterCondition.NOT: NoneOf,
}


def read_filters(
    filters: MetadataFilters | None = None,
    *,
    node_ids: Sequence[str] | None = None,
    doc_ids: Sequence[str] | None = None,
) -> Filter:
    """Reads everything that restricts a search, all of which has to hold.

    They mean what core's ``build_metadata_filter_fn`` says, with two differences: filters may be
    nested; and where that function raises because one passage's value cannot be compared, here
    that passage does not match.

    Args:
        filters: On metadata; an empty list of them lets everything through.
        node_ids: Which nodes.
        doc_ids: Nodes of which documents (``ref_doc_id``).

    Raises:
        TypeError: An operator with a value of a kind that it cannot compare with anything.

    Example:
        >>> read_filters(MetadataFilters(filters=[MetadataFilter(key="year", value=1990)]))
        AllOf(parts=(AllOf(parts=(Where(key='year', operator='==', value=1990),)),))
    """
    parts: list[Filter] = []
    if filters is not None:
        parts.append(_read(filters))
    if node_ids is not None:
        parts.append(WithId(node_ids))
    if doc_ids is not None:
        parts.append(FromDocument(doc_ids))
    return AllOf(parts)


def _read(filters: MetadataFilters) -> Filter:
    if not filters.filters:
        return AllOf()
    return _JOINS[filters.condition or FilterCondition.AND](
        [
            _read(part) if isinstance(part, MetadataFilters) else _where(part)
            for part in filters.filters
        ]
    )


def _where(part: MetadataFilter) -> Where:
    return Where(part.key, _OPERATORS[part.operator], part.value)

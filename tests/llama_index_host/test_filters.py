"""Metadata filters mean what core's own function says they mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from llama_index.vector_stores.diekae import DiekaeVectorStore

LISTS = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL)
TEXTS = (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)
ORDERS = (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)

words = st.text(st.sampled_from("aAbé \0ß'"), max_size=3)
numbers = st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5, -0.0, 2**70, 1e300])
scalars = numbers | words
stored = st.none() | st.booleans() | scalars | st.lists(scalars, max_size=3)
metadatas = st.dictionaries(st.sampled_from(["x", "y"]), stored)
several = (
    st.lists(st.integers(-2, 2), max_size=3)
    | st.lists(words, max_size=3)
    | st.lists(st.sampled_from([0.0, 1.0, 1.5]), max_size=3)
)


def value_for(operator):
    if operator in LISTS:
        return several
    if operator in TEXTS:
        return words
    return scalars if operator in ORDERS else scalars | several | st.none()


@st.composite
def filters(draw):
    operator = draw(st.sampled_from(FilterOperator))
    value = draw(value_for(operator))
    return MetadataFilter(key=draw(st.sampled_from("xy")), value=value, operator=operator)


def filled(metadatas):
    store = DiekaeVectorStore()
    store.add(
        [
            TextNode(text="t", id_=str(n), metadata=metadata, embedding=[1.0])
            for n, metadata in enumerate(metadatas)
        ]
    )
    return store


def found(store, filters):
    return {node.node_id for node in store.get_nodes(filters=filters)}


def upstream(metadata, part):
    """What core says of one filter; where it cannot compare, the value does not match."""
    try:
        return build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[part]))("")
    except TypeError:
        return part.operator is FilterOperator.NIN


@given(
    every=st.lists(metadatas, min_size=1, max_size=6),
    parts=st.lists(filters(), max_size=3),
    condition=st.sampled_from(FilterCondition),
)
@settings(max_examples=250, deadline=None)
def test_filters_let_through_what_core_says(every, parts, condition):
    joined = {FilterCondition.AND: all, FilterCondition.OR: any}
    join = joined.get(condition, lambda verdicts: not any(verdicts))
    expected = {
        str(n)
        for n, metadata in enumerate(every)
        if not parts or join([upstream(metadata, part) for part in parts])
    }

    store = filled(every)

    assert found(store, MetadataFilters(filters=parts, condition=condition)) == expected


def test_filters_may_be_nested():
    store = filled([{"x": 1, "y": "a"}, {"x": 2, "y": "a"}, {"x": 3, "y": "b"}, {}])
    inner = MetadataFilters(
        filters=[MetadataFilter(key="x", value=1), MetadataFilter(key="x", value=3)],
        condition=FilterCondition.OR,
    )
    none = MetadataFilters(
        filters=[MetadataFilter(key="y", value="b")], condition=FilterCondition.NOT
    )

    assert found(store, MetadataFilters(filters=[inner, none])) == {"0"}
    assert found(store, MetadataFilters(filters=[])) == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("operator", "value", "message"),
    [
        (FilterOperator.IN, "a", "needs a list of values, got str"),
        (FilterOperator.NIN, 3, "needs a list of values, got int"),
        (FilterOperator.ANY, "a", "needs a list of values, got str"),
        (FilterOperator.ALL, None, "needs a list of values, got NoneType"),
        (FilterOperator.TEXT_MATCH, 3, "needs a str, got int"),
        (FilterOperator.GT, None, "needs a number or a str, got NoneType"),
    ],
)
def test_a_value_that_fits_nothing_is_refused(operator, value, message):
    part = MetadataFilter(key="x", value=value, operator=operator)

    with pytest.raises(TypeError, match=message):
        filled([{"x": 1}]).get_nodes(filters=MetadataFilters(filters=[part]))


def test_a_number_that_json_lacks_is_stored_as_null():
    (node,) = filled([{"x": math.inf}]).get_nodes()

    assert node.metadata == {"x": None}

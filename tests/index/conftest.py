"""An embedder that needs no model: words are hashed into buckets."""

import hashlib

import numpy as np
import pytest


class HashingEmbedder:
    def __init__(self, name="hashing", vector_size=32):
        self.name = name
        self.vector_size = vector_size

    def embed(self, texts, *, show_progress=False):
        vectors = np.zeros((len(texts), self.vector_size), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                digest = hashlib.blake2b(f"{self.name} {word}".encode(), digest_size=4).digest()
                row[int.from_bytes(digest, "big") % self.vector_size] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="session")
def embedder():
    return HashingEmbedder()


@pytest.fixture(scope="session")
def make_embedder():
    return HashingEmbedder

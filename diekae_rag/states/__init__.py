"""What encoders have read of passages: as tensors, kept in memory, and kept in a file."""

from diekae_rag.states.knowledge import Knowledge, KnowledgeApart, gather_knowledge
from diekae_rag.states.tensors import PassageStates

__all__ = ["Knowledge", "KnowledgeApart", "PassageStates", "gather_knowledge"]

"""What encoders have read of passages: as tensors, kept in memory, and kept in a file."""

from diekae_rag.states.tensors import Knowledge, PassageStates, gather_knowledge, join_states

__all__ = ["Knowledge", "PassageStates", "gather_knowledge", "join_states"]

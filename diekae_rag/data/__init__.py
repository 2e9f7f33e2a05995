"""What encoders are trained and measured on: prompts, answers and the passages they come from."""

from diekae_rag.data.records import Record, RecordError, read_records

__all__ = ["Record", "RecordError", "read_records"]

"""What a whole call costs: from a question to the first token of its answer, part by part."""

"""What edits do to CounterFact's facts: every way to edit, for every number of edits."""

"""A reader that knows CounterFact's facts, and encoders that edit them: for measuring only."""

"""A small reader of real text, its encoders, and what each arm gets right: for measuring only."""

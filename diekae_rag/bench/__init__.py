"""What it costs to train, side by side with what would otherwise be trained."""

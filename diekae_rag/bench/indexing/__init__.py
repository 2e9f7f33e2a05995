"""What an index costs whose passages the encoders have read: building, keeping, opening again."""

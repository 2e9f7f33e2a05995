"""What an answer costs: nothing read, everything stuffed, everything injected, side by side."""

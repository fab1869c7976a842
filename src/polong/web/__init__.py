"""Static page over S1."""

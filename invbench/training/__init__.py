"""Training: one loss file a family, one loop. Nothing that samples depends on it."""

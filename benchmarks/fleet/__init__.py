"""Real processes that share one account and one store."""

"""A target as its files describe it: discovery, loading, the contract, its cases, states and calls."""

"""Where kernels are checked and timed: it holds the clock and the oracle, and believes no kernel."""

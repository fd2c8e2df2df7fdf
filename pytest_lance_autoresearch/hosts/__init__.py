"""Other hosts that measure: how they are reached, chosen and told what to do."""

"""What is asked of the operating system: clocks, cores, locks, interrupts, whole files."""

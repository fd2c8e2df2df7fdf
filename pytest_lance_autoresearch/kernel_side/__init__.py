"""What runs in the kernel's own process, beside it: nothing it says there is believed. Imports no other folder."""

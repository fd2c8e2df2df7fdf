"""What runs in the kernel's own process, beside it, and is believed nothing there; it imports no other room."""

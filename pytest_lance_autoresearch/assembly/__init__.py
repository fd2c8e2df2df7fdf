"""Machine code as a listing shows it: its functions, its loops, what is in them, and what LLVM remarked."""

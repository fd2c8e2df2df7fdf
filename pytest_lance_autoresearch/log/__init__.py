"""What a trial leaves behind: rows, archived kernels and records, and what they tell afterwards."""

"""Every sentence about a verdict, and how numbers are written."""

"""pytest-lance-autoresearch: kernel targets as test suites, and a judge for machine-written kernels."""

__version__ = "0.2.0"

"""The pytest plugin: hooks, options, collection, what is printed. Only this folder imports pytest."""

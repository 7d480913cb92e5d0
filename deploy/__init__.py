"""What one does with the project besides running it: deploy it, take it down, try it, rename it.

Development only, never uploaded. Imports nothing of the application; the standard library and Google's YAML
parsers are all it needs.
"""

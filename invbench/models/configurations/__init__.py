"""How does the suite reach each method? One file a method registers it.

Sizes stand here too, or beside the network's inputs where several methods share them.
"""

"""How does the suite reach each method? One file a method describes it; `MODELS` lists them.

Sizes stand here too, or beside the network's inputs where several methods share them.
"""

"""Which sizes does each method come in, and how does the suite reach it? One file a method."""

"""The findings of a run: every answer with its error bar, its effective number of samples and its exact value."""

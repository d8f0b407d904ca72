"""The evaluation metrics, one pure function each; import them from their own modules."""

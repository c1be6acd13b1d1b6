"""Texts to embeddings: the interface of all engines, the tokenizer, batches, long texts, streams."""

"""The folder that tools of the Hugging Face hub load: graphs, small files and a model card. It needs no PyTorch."""

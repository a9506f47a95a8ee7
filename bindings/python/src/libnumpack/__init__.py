"""Tensors in files, in memory and on GPUs, without PyTorch.

| module | holds |
|---|---|
| `dtypes` | element types |
| `devices` | where tensors are |
| `errors` | what can go wrong |
"""

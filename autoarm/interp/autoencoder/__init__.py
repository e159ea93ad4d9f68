"""Sparse autoencoders: a layer's activations as a sum of few features out of many (Bricken et al. 2023).

- `activations`: activations of a site at each token, as rows and as an iterator of tensors.
- `train`: SAELens's trainer on such an iterator (extra `sae`), with a frozen decoder as a control.
- `model`: the trained autoencoder, which does not need SAELens.
- `metrics`: how good it is, also by the policy's actions with the reconstruction in place of the activations.
- `splice`: edits that put in the reconstruction, or scale a feature, while the policy acts.
"""

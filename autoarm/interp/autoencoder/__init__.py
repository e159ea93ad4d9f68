"""Sparse autoencoders: a layer's activations written as few features out of many (Bricken et al. 2023).

- `activations`: what a site says at each token, as rows and as an iterator of tensors.
- `train`: SAELens's trainer on such an iterator (extra `sae`), with a frozen decoder as a control.
- `model`: what comes of it, which needs SAELens no more.
- `metrics`: how good it is, also by what the policy does with the reconstruction in place of the activations.
- `splice`: putting the reconstruction, or more or less of a feature, into a policy that acts.
"""

"""Look inside a policy: each method returns arrays first, and figures are drawn of them second.

From the bottom up; a storey imports only those below it:

- `model`: named sites in a policy (`sites`, `tokens`), reading (`capture`) and changing (`intervene`) the values there.
- `observations`: frames of a dataset with labels, and rendered observations with the cube anywhere.
- `methods`: attention, ablation, patching, probes, steering, lenses, attribution, memory of the MLP, edits in rollouts.
- `autoencoder`: sparse autoencoders of a site's activations, and the features they find.
- `ood`: how unusual an observation is to a policy.
- `figures`: what the methods found, drawn.
- `report`: all of it on one page.
"""

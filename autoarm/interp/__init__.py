"""Look inside a policy: each method returns arrays, which a second function draws.

The functions to begin with can be imported from here, such as `from autoarm.interp import capture, intervene, sites`.
The packages, each of which imports only those above it in this list:

- `model`: named sites in a policy (`sites`, `tokens`), reading (`capture`) and changing (`intervene`) the values there.
- `observations`: frames of a dataset with labels, and rendered observations with the cube anywhere.
- `methods`: attention, ablation, patching, probes, steering, lenses, attribution, MLP units, interventions in rollouts.
- `autoencoder`: sparse autoencoders of a site's activations, and the features they find.
- `ood`: how unlike its training data an observation is to a policy.
- `figures`: plots of what the methods return.
- `report`: the methods' findings about one policy on one page.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autoarm.interp.autoencoder.train import train_autoencoder
    from autoarm.interp.methods.ablation import knock_out
    from autoarm.interp.methods.attribution import feature_ablation, integrated_gradients
    from autoarm.interp.methods.lens import action_lens
    from autoarm.interp.methods.probes import probe_sites
    from autoarm.interp.methods.recorder import record_attention
    from autoarm.interp.methods.steering import fit_probe, steer
    from autoarm.interp.methods.tracing import trace
    from autoarm.interp.model.capture import capture
    from autoarm.interp.model.intervene import intervene
    from autoarm.interp.model.sites import sites
    from autoarm.interp.model.tokens import token_layout
    from autoarm.interp.report.report import write_interp_report

__all__ = [
    "action_lens",
    "capture",
    "feature_ablation",
    "fit_probe",
    "integrated_gradients",
    "intervene",
    "knock_out",
    "probe_sites",
    "record_attention",
    "sites",
    "steer",
    "token_layout",
    "trace",
    "train_autoencoder",
    "write_interp_report",
]

_MODULES: Final = {
    "action_lens": "methods.lens",
    "capture": "model.capture",
    "feature_ablation": "methods.attribution",
    "fit_probe": "methods.steering",
    "integrated_gradients": "methods.attribution",
    "intervene": "model.intervene",
    "knock_out": "methods.ablation",
    "probe_sites": "methods.probes",
    "record_attention": "methods.recorder",
    "sites": "model.sites",
    "steer": "methods.steering",
    "token_layout": "model.tokens",
    "trace": "methods.tracing",
    "train_autoencoder": "autoencoder.train",
    "write_interp_report": "report.report",
}
"""The module of each exported name; each is imported when it is first used, because torch takes seconds to import."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

"""Look inside a policy, any LeRobot ACT: each method gives arrays first and pictures second.

- `sites` names places, `tokens` says what the encoder's tokens are.
- `capture` reads values there, `cache` keeps them on disk; `intervene` changes them, in rollouts too.
- `recorder` watches attention at every step of an episode, `summary` puts it in few numbers, `attention` draws it.
- `memory` takes the action apart into the units of the decoder's MLP; `memory_units` says what these answer to.
- `ablation` knocks parts out and patches them between observations; `knockout` names the parts, `tracing` patches each
  layer, token group and part, `absorption` follows the arm's state, `token_mask` hides tokens.
- `probe_data` labels a dataset's frames, `rendered` draws observations anywhere; `probes` read the labels off a site,
  `steering` moves what is read.
- `slope` tells copying from following; `lens`, `translator` and `image_lens` show what is there layer by layer;
  `attribution` says which pixels and joints a number depends on.
- `edited_policy` takes all these edits into closed loop.
"""

"""Look inside a policy, any LeRobot ACT: each method gives arrays first and pictures second.

- `sites` names places, `tokens` says what the encoder's tokens are.
- `capture` reads values there, `cache` keeps them on disk; `intervene` changes them, in rollouts too.
- `recorder` watches attention at every step of an episode, `summary` puts it in few numbers, `attention` draws it.
- `memory` takes the action apart into the units of the decoder's MLP.
- `ablation` knocks parts out and patches them between observations.
"""

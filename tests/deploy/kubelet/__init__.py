"""Drives the probes of the rendered Deployment against the real process, as a kubelet would."""

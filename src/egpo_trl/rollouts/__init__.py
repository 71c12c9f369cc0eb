"""The token level of a rollout: which tokens are thought, and tools under guard."""

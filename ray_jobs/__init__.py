"""How it runs: the command line, the dispatcher and the Ray actors that carry a study out."""

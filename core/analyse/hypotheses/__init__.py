"""H1 to H9 as explicit rules over measured quantities, strict and in the paper's style. Pure."""

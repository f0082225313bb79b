"""The mathematics of policy gradients: arrays in, arrays out; no files, no printing, no Gymnasium."""

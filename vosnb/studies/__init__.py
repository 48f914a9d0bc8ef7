"""The ablations that lessons show: each file runs one paper's and writes its table into data/results/."""

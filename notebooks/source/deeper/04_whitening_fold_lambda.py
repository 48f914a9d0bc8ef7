# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   vosnb:
#     style: 2
# ---

# %% [markdown]
# # Whitening, the fold, and lambda

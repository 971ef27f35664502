"""What does batch normalisation do to a small neural network?

One module a stage, in the order the data flows:

    config → data → networks → training → outcomes → statistics → decisions → figures
                                  └→ tracking (MLflow)

No module here imports Snakemake; training imports neither mlflow nor matplotlib.
"""

"""What does batch normalisation do to a small neural network?

One module a stage, in the order the data flows:

    study → data → networks → training → measures → statistics → hypotheses → figures
                                  └→ tracking (MLflow)

No module here imports Snakemake; training imports neither mlflow nor matplotlib.
"""

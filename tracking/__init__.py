"""For people to see: figures, the report, MLflow, progress and tables in the terminal."""

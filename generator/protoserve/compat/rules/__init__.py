"""The rules: for each thing that a contract holds, what a change of it breaks, and for whom."""

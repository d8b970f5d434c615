"""The files that an author starts with: model.py and train.py for a framework, their test and their requirements."""

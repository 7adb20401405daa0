"""Requests in plain English and the command line that each asks for, for any program whose command line is declared.

grammar        what a command line may hold; `toml_file` reads and writes it for people to edit
parsing        one command line -> its parts, or why the program would not take it
help_text      a program's --help -> a grammar; `programs` runs it, `introspection` asks argparse and click instead
sampling, wording, making   a grammar -> commands, the words that ask for them, rows in given shares
verification   which commands of a dataset, or of a model's answers, are made up
"""

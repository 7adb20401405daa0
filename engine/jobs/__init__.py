"""Jobs for schedulers and clouds: files that carry out a recipe elsewhere, made as text. `engines` lists them.

Not here: calling the schedulers; nothing in this package starts anything.
"""

"""Those whose speed `benchmarks/throughput.py` compares: one module each, run as a process of its own.

A contender's module is started as `python -m benchmarks.throughput_contenders.NAME JOB.json`, possibly by another
Python that has none of finetui's packages: `job` needs the standard library and torch only. finetui itself is
measured from outside (`product`), through a real run.
"""

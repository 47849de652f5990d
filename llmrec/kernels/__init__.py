"""The engines' inner loops, compiled for the processor at hand.

Only this package imports numba, and nothing imports this package at the top of a module: numba takes a
third of a second, which ``import llmrec`` should not. Each module holds plain loops over NumPy arrays, marked
with :func:`llmrec.kernels.jit.kernel`, and a ``warm()`` that compiles them on small data; what they must
agree with stands in NumPy in their tests.
"""

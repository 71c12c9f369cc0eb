"""Reading tool calls out of completions and comparing them with reference calls; needs neither torch nor trl.

Model output and data sets are hostile input here: nothing is evaluated, time and recursion are bounded, and every text
gets a verdict.
"""

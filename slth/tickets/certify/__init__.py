"""What is proved of a ticket as a function, by sound propagation of the difference to its target.

Read from the bottom: ``forms`` (affine forms and intervals, rounded outward), ``folded`` (the ticket as a function of
its target's size), ``differences``, ``pooling``, ``norms`` and ``operators`` (what each step does to a pair of
networks), ``propagate`` (through a graph), ``attack`` (the search for the worst input), ``certify`` and ``certificate``
(the results), ``recheck`` (a recorded certificate, proved again).
"""

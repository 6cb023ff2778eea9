"""Certificates: what is proved of a ticket as a function, by sound propagation of its difference from the target.

From the bottom to the top: ``forms`` (intervals and affine forms, rounded outwards), ``norms`` (Euclidean bounds),
``enclosed`` (linear maps with enclosed weights), ``differences`` (pairs, and linear maps on them), ``operators``,
``activations`` and ``pooling`` (other operations on pairs), ``transformers`` (what carries pairs through a step),
``outline`` (what each step of a target needs, and whether it can be followed), ``propagate`` (through a whole graph),
``boxes`` (the inputs of a certificate), ``attack`` (the search for the worst input), ``network`` and ``agreement`` (the
two certificates), ``certificate`` (their results) and ``recheck`` (proving a recorded certificate again).
"""

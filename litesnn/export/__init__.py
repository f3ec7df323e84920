"""Networks that ship: the packed file and its runtime (NumPy alone), NIR, ONNX, and the model card beside each.

``bits``, ``plan``, ``packed``, ``runtime``, ``inputs``, ``sizes`` and ``run`` load no torch; ``convert``, ``card``,
``nir_graph``, ``onnx_graph`` and ``command`` turn trained networks into files.
"""

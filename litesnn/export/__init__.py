"""Networks that ship: the packed file and its runtime (NumPy alone), C, NIR, ONNX, and the model card beside each.

``coder`` codes numbers, ``file_layout`` says what writer and reader agree upon, ``trim`` leaves out what makes no difference;
``format1`` and ``bits`` read files of earlier versions. These, ``plan``, ``packed``, ``runtime``, ``inputs``, ``sizes``,
``c_source`` and ``run`` load no torch; ``convert``, ``rounding``, ``card``, ``nir_graph``, ``onnx_graph`` and ``command`` turn
trained networks into files.
"""

"""pithead over HTTP: tiles are answered at once, scenes in the background, finds are reviewed on a map.

`create_app` gives the ASGI application. It knows nothing of BentoML: whoever serves it gives it the function
that runs a batch of tiles through the model.
"""

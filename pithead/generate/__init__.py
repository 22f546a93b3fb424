"""Procedural scenes with exact labels, for training and for tests.

A canvas at twice the sensor's resolution gets a land (`terrain`), objects (`heaps`, `heads`, `perimeters`,
`rail`) and what is easily taken for them (`distractors`); `render` lights it, `sensor` photographs it,
`scene` does all of it in order.
"""

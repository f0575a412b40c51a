"""A store in a MongoDB, 4.4 or newer: standalone, a replica set, or sharded.

``mongodb://`` and ``mongodb+srv://``.
"""

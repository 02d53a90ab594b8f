"""Built-in kinds as the Go types of Kubernetes have them: how their JSON is read, and how it is written.

===========  ==================================================
``tables``   fields of the Go types, as they were generated
``shapes``   the same by the names in JSON
``reading``  types, canonical quantities, what is left out
``writing``  what is there although nobody has set it
``words``    how Go calls types and writes values
===========  ==================================================
"""

from cozystack.apiserver.golang.reading import WrongType, read
from cozystack.apiserver.golang.shapes import Shape, metadata_shape, shape_of
from cozystack.apiserver.golang.words import json_type
from cozystack.apiserver.golang.writing import Filling, filling

__all__ = ["Filling", "Shape", "WrongType", "filling", "json_type", "metadata_shape", "read", "shape_of"]
